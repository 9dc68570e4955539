"""Recordings as files that any player opens: WAV, MP3 and FLAC rendered, Matroska with the stored payload as it is,
and vCon with all that is known of the call.

A file is written beside its place under a temporary name, readable by its owner alone, and takes its name when it
is whole.
"""

from gateway.export.errors import ExportError
from gateway.export.exporter import BOTH, Format, export, sample_rate
from gateway.export.vcon import export_vcon

__all__ = ["BOTH", "ExportError", "Format", "export", "export_vcon", "sample_rate"]
