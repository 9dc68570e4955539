"""HushTap: records both legs of every call exactly, and never what must not be kept."""
