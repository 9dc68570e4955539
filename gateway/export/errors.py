"""What can go wrong while exporting."""


class ExportError(Exception):
    """The file was not made; the text is one sentence that says why. Nothing is left behind."""
