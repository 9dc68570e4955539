"""HushTap: records both legs of every call exactly, and never what must not be kept."""

__version__ = "0.1.0"
