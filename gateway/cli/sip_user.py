"""`hushtap sip-user`: who may place recordings by digest authentication."""

from __future__ import annotations

import argparse
import getpass
import re
import sys
from pathlib import Path

from gateway.cli.configuration import settings_of
from gateway.cli.errors import CannotRun
from gateway.config.sip import AccessSettings
from gateway.io.credentials import CredentialsFault, read, write
from gateway.sip.digest import Algorithm, Credential

SHORTEST = 8  # characters of a password


def run(arguments: argparse.Namespace) -> int:
    access = settings_of(arguments).sip.access
    path = access.credentials
    if path is None:
        raise CannotRun("sip.access.credentials is not set: it names the file of users")
    try:
        kept = read(path) if path.exists() else ()
        match arguments.action:
            case "add":
                _add(path, kept, access, arguments.name)
            case "remove":
                _remove(path, kept, arguments.name)
            case "list":
                _list(kept, access)
    except CredentialsFault as error:
        raise CannotRun(str(error)) from error
    return 0


def _add(path: Path, kept: tuple[Credential, ...], access: AccessSettings, name: str) -> None:
    """The user's hashes of every algorithm offered; those of before go."""
    if not re.fullmatch(r"[^\s:#\"\\]{1,64}", name):
        raise CannotRun("a user's name has 1 to 64 characters, no white space, colon, #, quote or backslash")
    password = _password()
    made = [Credential.of(name, access.realm, Algorithm(each), password) for each in access.algorithms]
    write(path, [*(other for other in kept if other.user != name), *made])
    print(f"{name} may place recordings; a running gateway knows within seconds")


def _remove(path: Path, kept: tuple[Credential, ...], name: str) -> None:
    if all(credential.user != name for credential in kept):
        raise CannotRun(f"{path} holds no user {name}")
    write(path, [credential for credential in kept if credential.user != name])
    print(f"{name} may not place recordings any more")


def _list(kept: tuple[Credential, ...], access: AccessSettings) -> None:
    for name in sorted({credential.user for credential in kept}):
        mine = [credential for credential in kept if credential.user == name]
        stale = (
            "" if any(c.realm == access.realm for c in mine) else f" (not of realm {access.realm}: unused)"
        )
        print(f"{name:24} {', '.join(sorted(c.algorithm for c in mine))}{stale}")


def _password() -> str:
    """Typed twice at a terminal, else one line of standard input. Raises CannotRun."""
    if sys.stdin.isatty():
        password = getpass.getpass("password: ")
        if getpass.getpass("again: ") != password:
            raise CannotRun("the two passwords differ")
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    if len(password) < SHORTEST:
        raise CannotRun(f"a password has at least {SHORTEST} characters")
    return password
