"""`hushtap hotkey`: a key on the call-taker's desktop that pauses and resumes."""

from __future__ import annotations

import argparse
import os
import ssl
import sys
from pathlib import Path

from gateway.cli.errors import CannotRun
from gateway.hotkey.asking import Gateway
from gateway.hotkey.keys import NoKeys
from gateway.hotkey.running import Choice
from gateway.hotkey.running import run as run_hotkey

LONGEST_TOKEN = 1024  # octets of its file
WAYLAND = "hushtap: under Wayland a key is heard only while a window of an X11 program has the focus"


def run(arguments: argparse.Namespace) -> int:
    choice = Choice(
        arguments.extension,
        arguments.key,
        arguments.opt_out_key,
        arguments.reason,
        arguments.opt_out_reason,
        arguments.quiet,
    )
    if os.environ.get("XDG_SESSION_TYPE") == "wayland":
        print(WAYLAND, file=sys.stderr)
    try:
        gateway = Gateway(arguments.url, _token(arguments.token_file), arguments.ca)
        if gateway.ask("token").outcome == "denied":
            raise CannotRun(f"{arguments.url} does not know the token of {arguments.token_file}")
        run_hotkey(gateway, choice)
    except (NoKeys, ValueError) as error:
        raise CannotRun(str(error)) from error
    except ssl.SSLError as error:
        raise CannotRun(f"{arguments.ca}: no certificates that can be read") from error
    return 0


def _token(path: Path) -> str:
    """The first line of a file that nobody else may read. Raises CannotRun."""
    with path.open("rb") as file:
        if os.name == "posix" and (mode := os.fstat(file.fileno()).st_mode & 0o777) & 0o077:
            raise CannotRun(f"{path} has mode {mode:04o}: others may read the token; expected 0600")
        token = file.read(LONGEST_TOKEN).decode("ascii", "replace").partition("\n")[0].strip()
    if not token:
        raise CannotRun(f"{path} is empty: expected is a token of `hushtap agents add`")
    return token
