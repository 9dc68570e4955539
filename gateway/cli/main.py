"""From a command line to an exit status: choose the command, turn every failure into a sentence."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Callable
from importlib import import_module

from gateway import __version__
from gateway.cli import parser
from gateway.cli.errors import CannotRun

OK, FAULT_FOUND, CANNOT_RUN, INTERRUPTED = 0, 1, 2, 130

# The module below gateway.cli that holds `run(arguments) -> exit status`.
COMMANDS = {
    "serve": "serve",
    "demo": "demo",
    "replay": "replay",
    "check-config": "check_config",
    "doctor": "doctor",
    "calls": "calls",
    "show": "show",
    "export": "export",
    "verify": "verify",
    "keys": "keys",
    "sip-user": "sip_user",
    "agents": "agents",
    "reindex": "reindex",
    "bench": "bench",
    "hotkey": "hotkey",
    "cut": "cut",
    "never-record": "never_record",
}


def main(argv: list[str] | None = None) -> int:
    """Run one command; gives its exit status and never raises on what a person or a disk may do wrong."""
    arguments = parser.parse(argv)
    if arguments.version:
        print(f"hushtap {__version__}")
        return OK
    if arguments.command is None:
        return _complain("a command is needed; `hushtap --help` lists them")
    try:
        status = _command(arguments.command)(arguments)
        sys.stdout.flush()
    except CannotRun as error:
        return _complain(str(error))
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        return _reader_left()
    except OSError as error:
        return _complain(_sentence(error))
    except MemoryError:
        return _complain("not enough memory")
    except Exception as error:
        if os.environ.get("HUSHTAP_DEBUG"):
            raise
        return _complain(_fault_of_ours(error))
    return status


def _command(name: str) -> Callable[[argparse.Namespace], int]:
    run: Callable[[argparse.Namespace], int] = import_module(f"gateway.cli.{COMMANDS[name]}").run
    return run


def _complain(text: str) -> int:
    for line in text.splitlines():
        print(f"hushtap: {line}", file=sys.stderr)
    return CANNOT_RUN


def _reader_left() -> int:
    """Nobody reads our output any more, as with `hushtap calls | head`: end quietly."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return OK


def _fault_of_ours(error: Exception) -> str:
    """Where it happened, without the error's text: that may hold personal data."""
    *_, (frame, line) = traceback.walk_tb(error.__traceback__)
    place = f"{frame.f_globals.get('__name__')} line {line}"
    return f"a fault in HushTap itself, {type(error).__name__} in {place}; HUSHTAP_DEBUG=1 shows all of it"


def _sentence(error: OSError) -> str:
    place = f"{error.filename}: " if error.filename else ""
    return f"{place}{error.strerror or error}"
