"""SIP as pure machines (RFC 3261): bytes and time in, bytes and events out.

Drain contract: act on the whole list that a call into a machine returns, in order, before the next call into it.
"""
