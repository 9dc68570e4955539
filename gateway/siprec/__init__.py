"""SIPREC as pure values and machines: RFC 7865 metadata, RFC 7866 recording sessions."""
