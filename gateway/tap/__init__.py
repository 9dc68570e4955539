"""The passive tap: frames of a mirrored port or a capture become SIP messages, calls and batches of RTP."""
