"""SIP as pure machines (RFC 3261): bytes and time in, bytes and events out."""
