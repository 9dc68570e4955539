"""TLS for SIP: a context made of files, made anew when they change."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

from gateway.config.sip import TlsSettings
from gateway.storage.files import OTHERS


class TlsError(Exception):
    """TLS cannot be offered; the text is one sentence that names the file."""


def make_context(settings: TlsSettings) -> ssl.SSLContext:
    """What connections are accepted by: TLS 1.2 or newer. Raises TlsError."""
    assert settings.certificate
    assert settings.key
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE
    # Forward secrecy and authenticated encryption only; TLS 1.3 has nothing else.
    context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")
    _check_mode(settings.key)
    _check_readable(settings.certificate)
    try:
        context.load_cert_chain(settings.certificate, settings.key, password=_no_password)
    except (ssl.SSLError, ValueError) as error:
        raise TlsError(f"{settings.certificate} and {settings.key}: {_why(error)}") from error
    if settings.client_ca:
        _check_readable(settings.client_ca)
        try:
            context.load_verify_locations(settings.client_ca)
        except ssl.SSLError as error:
            raise TlsError(f"{settings.client_ca}: holds no certificate in PEM") from error
        required = settings.client_certificate == "required"
        context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
    return context


class TlsFiles:
    """The context of now; `reload` when the files may have changed."""

    def __init__(self, settings: TlsSettings) -> None:
        """Raises TlsError."""
        self._settings = settings
        self._seen = self._stamp()
        self.context = make_context(settings)

    def changed(self) -> bool:
        """Whether a file is another than when it was last looked at."""
        before, self._seen = self._seen, self._stamp()
        return before != self._seen

    def reload(self) -> None:
        """Take the files as they are; on TlsError what was before stays. Running connections keep theirs."""
        self.context = make_context(self._settings)

    def _stamp(self) -> tuple[tuple[int, int, int] | None, ...]:
        paths = (self._settings.certificate, self._settings.key, self._settings.client_ca)
        return tuple(stamp(path) for path in paths if path)


def stamp(path: Path) -> tuple[int, int, int] | None:
    """What changes when a file does; None when there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


def _check_readable(path: Path) -> None:
    try:
        with path.open("rb"):
            return
    except OSError as error:
        raise TlsError(f"{path}: {os.strerror(error.errno or 0)}") from error


def _check_mode(path: Path) -> None:
    _check_readable(path)
    mode = path.stat().st_mode & 0o777
    if mode & OTHERS:
        raise TlsError(f"{path}: mode {mode:04o} lets others read the key, 0600 is expected")


def _no_password() -> str:
    raise ValueError("the key is encrypted; a plain one of mode 0600 is expected")


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        if error.reason == "KEY_VALUES_MISMATCH":
            return "the key is not that of the certificate"
        return f"not a certificate and its key in PEM ({error.reason or 'unreadable'})"
    return str(error)
