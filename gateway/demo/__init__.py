"""A real SIPREC recording client and small speech files, for the demonstration and the tests."""
