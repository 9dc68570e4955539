"""What recording costs: a load generator, the floor under any recorder, and the gateway measured beside it."""
