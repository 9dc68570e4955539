"""Container, sealing, keys, vault, index, recovery and verification."""
