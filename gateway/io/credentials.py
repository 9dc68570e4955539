"""The users of digest authentication, where they are kept: a file of mode 0600, or the environment."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from gateway.config.sip import AccessSettings
from gateway.sip.digest import Credential, CredentialsError, parse_credentials
from gateway.storage.files import PrivateFileFault, read_private

VARIABLE = "HUSHTAP_SIP_CREDENTIALS"
MAX_BYTES = 1 << 20  # some ten thousand users


class CredentialsFault(Exception):
    """The users cannot be read or written; the text is one sentence that names the file."""


def wanted(settings: AccessSettings, environment: Mapping[str, str]) -> bool:
    """Whether clients must authenticate."""
    return settings.credentials is not None or VARIABLE in environment


def load(settings: AccessSettings, environment: Mapping[str, str]) -> tuple[Credential, ...]:
    """Users of the file and of the environment, whose entries white space may separate. Raises CredentialsFault."""
    found: tuple[Credential, ...] = ()
    if settings.credentials is not None:
        found += read(settings.credentials)
    try:
        return found + parse_credentials("\n".join(environment.get(VARIABLE, "").split()))
    except CredentialsError as error:
        raise CredentialsFault(f"{VARIABLE}: {error}") from error


def read(path: Path) -> tuple[Credential, ...]:
    """The users of a file that nobody else may read. Raises CredentialsFault."""
    try:
        data = read_private(path, MAX_BYTES)
    except OSError as error:
        raise CredentialsFault(f"{path}: {os.strerror(error.errno or 0)}") from error
    except PrivateFileFault as error:
        raise CredentialsFault(str(error)) from error
    try:
        return parse_credentials(data.decode("utf-8"))
    except (CredentialsError, UnicodeDecodeError) as error:
        raise CredentialsFault(f"{path}: {error}") from error


def write(path: Path, credentials: Iterable[Credential]) -> None:
    """Replace the file at once, so that a running gateway never reads half of it. Raises CredentialsFault."""
    partial = path.with_name(path.name + ".new")
    text = "".join(f"{credential}\n" for credential in credentials)
    try:
        partial.unlink(missing_ok=True)
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise CredentialsFault(f"{path}: {os.strerror(error.errno or 0)}") from error
