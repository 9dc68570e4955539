"""SIPREC as pure values and machines: RFC 7865 metadata, RFC 7866 recording sessions.

Drain contract: act on the whole list that a call into a machine returns, in order, before the next call into it.
"""
