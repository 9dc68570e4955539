"""Calls on which no packet comes: is the client still there, and for how long may it keep quiet."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from gateway.config.settings import MediaSettings
from gateway.siprec.effects import SessionId


@dataclass(slots=True)
class _Silence:
    since: float
    packets: int  # that had come until then
    count: Callable[[], int]
    timer: asyncio.TimerHandle | None = None


class Silences:
    """`probe` asks the client, unless `timed` says that a session timer does; `end` gives a call up for a cause."""

    def __init__(
        self, settings: MediaSettings, timed: Callable[[SessionId], bool], probe: Callable[[SessionId], None],
        end: Callable[[SessionId, str], None],
    ) -> None:  # fmt: skip
        self._settings = settings
        self._timed, self._probe, self._end = timed, probe, end
        self._silent: dict[SessionId, _Silence] = {}

    def __len__(self) -> int:
        return len(self._silent)

    def begun(self, session: SessionId, count: Callable[[], int]) -> None:
        """No packet has come for the media timeout; `count` says how many have come in all."""
        if session not in self._silent:
            since = asyncio.get_running_loop().time() - self._settings.timeout_seconds
            self._silent[session] = _Silence(since, count(), count)
            self._ask(session)

    def probed(self, session: SessionId, alive: bool) -> None:
        """What the client said."""
        silence = self._silent.get(session)
        if silence and not alive and silence.count() == silence.packets:
            self._end(session, "client_gone")

    def ended(self, session: SessionId) -> None:
        silence = self._silent.pop(session, None)
        if silence and silence.timer:
            silence.timer.cancel()

    def _ask(self, session: SessionId) -> None:
        """Ask now, and look again when the media timeout has passed once more."""
        loop = asyncio.get_running_loop()
        silence = self._silent[session]
        limit = silence.since + self._settings.silence_limit_seconds
        again = min(loop.time() + self._settings.timeout_seconds, max(limit, loop.time()))
        silence.timer = loop.call_at(again, self._look, session)
        if not self._timed(session):
            self._probe(session)

    def _look(self, session: SessionId) -> None:
        silence = self._silent[session]
        if silence.count() != silence.packets:
            del self._silent[session]
        elif asyncio.get_running_loop().time() - silence.since >= self._settings.silence_limit_seconds:
            self._end(session, "media_timeout")
        else:
            self._ask(session)
