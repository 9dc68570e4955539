"""What can go wrong while placing a call."""


class ClientError(Exception):
    """The server did not behave as SIP asks, or not at all; the text says what was missing."""
