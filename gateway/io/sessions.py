"""Which recording session carries which running call, and what it is answered."""

from __future__ import annotations

from collections.abc import Callable

from gateway.config.settings import Settings
from gateway.io.lines import Lines
from gateway.io.running_call import Branch, Line, Live
from gateway.io.sip import SipServer
from gateway.recording.model import Wish
from gateway.siprec.effects import Offered, SessionId


class Sessions:
    """`sip` gives the SIP server, which is there before any session."""

    def __init__(self, settings: Settings, lines: Lines, sip: Callable[[], SipServer]) -> None:
        self._settings = settings
        self._lines = lines
        self._sip = sip
        self._calls: dict[SessionId, Live | None] = {}  # None while the call is being set up
        self._ended_early: dict[SessionId, str] = {}  # while being set up, and why
        self._wished_early: dict[SessionId, Wish] = {}  # while being set up

    def __contains__(self, session: SessionId) -> bool:
        return session in self._calls

    def call(self, session: SessionId) -> Live | None:
        """The call that a session carries; None of one that is being set up or is over."""
        return self._calls.get(session)

    def begin(self, session: SessionId) -> None:
        """A session was offered."""
        self._calls[session] = None

    def end(self, session: SessionId, cause: str) -> Live | None:
        """A session ended; its call, where it was set up. One that was refused is not known any more."""
        if session not in self._calls:
            return None
        self._wished_early.pop(session, None)
        live = self._calls.pop(session)
        if live is None:
            self._ended_early[session] = cause
        return live

    def ended_early(self, session: SessionId) -> str:
        """Why a session ended while its call was being set up, told once; empty: it goes on."""
        return self._ended_early.pop(session, "")

    def wished(self, session: SessionId, wish: Wish | None) -> None:
        """The client of a session that is being set up asks for something."""
        if wish and session in self._calls:
            self._wished_early[session] = wish

    def wished_early(self, session: SessionId) -> Wish | None:
        """What it asked for, told once."""
        return self._wished_early.pop(session, None)

    def enter(self, live: Live, offered: Offered, lines: list[Line], at_ns: int) -> None:
        """A session carries these lines of a call from now on: answer it."""
        branch = Branch(offered.session, lines, self._settings.media.address or offered.flow.local[0])
        live.branches[offered.session] = branch
        self._calls[offered.session] = live
        self._lines.fit(live, branch, offered.streams, at_ns)
        self.answer(live, branch, len(offered.streams))

    def answer(self, live: Live, branch: Branch, count: int) -> None:
        """Answer an offer of so many streams with the ports of those that are recorded."""
        ports: list[int | None] = [None] * count
        for line in branch.lines:
            if line.index is not None and line.index < count:
                ports[line.index] = live.sockets[line.leg].getsockname()[1]
        sip = self._sip()
        sip.act(sip.machine.answer(branch.session, ports, branch.address, sip.now()))

    def refuse(self, session: SessionId, status: int) -> None:
        """Turn a session down, and tell when to come again where there is no room now."""
        self._calls.pop(session, None)
        self._wished_early.pop(session, None)
        self._ended_early.pop(session, None)
        retry = self._settings.load.retry_after_seconds if status == 503 else None
        sip = self._sip()
        sip.act(sip.machine.refuse(session, status, "", sip.now(), retry))
