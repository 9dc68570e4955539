"""Payload formats to PCM, and rendering for export."""
