"""The engine and a call's life; pure."""
