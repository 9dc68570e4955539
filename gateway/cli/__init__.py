"""The command line. What a command needs is imported when it runs, so that `--help` answers at once."""

from gateway.cli.main import main

__all__ = ["main"]
