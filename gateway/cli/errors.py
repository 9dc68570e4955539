"""How a command says that it could not run."""


class CannotRun(Exception):
    """The text is one sentence a line for the person at the terminal: what was found, what to do. Exit status 2."""
