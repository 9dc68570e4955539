"""RTP in batches (RFC 3550): columns over datagrams, sequencing, the call clock; pure."""
