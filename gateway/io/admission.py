"""Access to the SIP port as configured: made at the start, brought up to date when files change."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from gateway.config.sip import SipSettings
from gateway.io import credentials
from gateway.io.credentials import CredentialsFault
from gateway.io.tls import TlsError, TlsFiles, stamp
from gateway.sip.access import Access
from gateway.sip.digest import Algorithm, Authenticator

log = logging.getLogger(__name__)

LOOK_SECONDS = 5.0  # between two looks whether files have changed


class Admission:
    """What connections and requests are let in by. `access` goes to the SIP machine, `tls` to its shell."""

    def __init__(self, settings: SipSettings, token: Callable[[], str]) -> None:
        """Raises TlsError and CredentialsFault."""
        self._settings = settings
        self.tls = TlsFiles(settings.tls) if settings.tls.certificate else None
        self._users = self._stamp()
        asked = settings.access
        self._authenticator: Authenticator | None = None
        if credentials.wanted(asked, os.environ):
            users = credentials.load(asked, os.environ)
            algorithms = [Algorithm(name) for name in asked.algorithms]
            self._authenticator = Authenticator(asked.realm, users, algorithms, token)
        self.access = Access.of(
            settings.peers(), asked.strangers == "refuse", asked.requests_per_second,
            asked.requests_per_second_in_all, self._authenticator,
        )  # fmt: skip

    def reload(self) -> None:
        """Take certificates and users as they are now; what cannot be read leaves what was before."""
        if self.tls:
            self._try("certificate", self.tls.reload)
        if self._authenticator:
            self._try("users", self._exchange)

    async def watch_forever(self) -> None:
        """Take files that changed."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            for name, take in self._changes():
                self._try(name, take)

    def _changes(self) -> Iterator[tuple[str, Callable[[], None]]]:
        if self.tls and self.tls.changed():
            yield "certificate", self.tls.reload
        before, self._users = self._users, self._stamp()
        if self._authenticator and before != self._users:
            yield "users", self._exchange

    def _exchange(self) -> None:
        assert self._authenticator
        self._authenticator.exchange(credentials.load(self._settings.access, os.environ))

    @staticmethod
    def _try(name: str, take: Callable[[], None]) -> None:
        try:
            take()
        except (TlsError, CredentialsFault) as error:
            log.error("SIP %s: kept as before: %s", name, error)
        else:
            log.info("SIP %s: read again", name)

    def _stamp(self) -> tuple[int, int, int] | None:
        path: Path | None = self._settings.access.credentials
        return stamp(path) if path else None
