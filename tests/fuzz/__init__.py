"""Coverage-guided fuzzing of everything that strangers' octets reach first: `make fuzz SECONDS=60`."""
