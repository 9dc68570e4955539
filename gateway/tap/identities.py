"""Who speaks on each side of a call, while more becomes known of them."""

from __future__ import annotations

from gateway.sip.message import Headers, Request
from gateway.tap import parties
from gateway.tap.effects import Party, Side


class Identities:
    """`handed` counts how often somebody took another's place in a running call."""

    def __init__(self, headers: Headers) -> None:
        self.parties = _stated(headers)
        self.notes: tuple[str, ...] = ()
        self.handed = 0
        self._stated = dict(self.parties)
        self._asserted: set[Side] = set()  # who is known by more than From and To

    def begin(self, request: Request) -> None:
        """The INVITE of a call, or of its next attempt."""
        self._stated = _stated(request.headers)
        self.parties = {Side.CALLER: parties.caller_of(request), Side.CALLEE: parties.callee_of(request)}
        self._asserted = {Side.CALLER} if parties.asserted(request.headers) else set()
        self.notes = tuple(dict.fromkeys((*self.notes, *parties.notes_of(request))))

    def request(self, side: Side, headers: Headers, running: bool) -> None:
        """A request within the dialog, from this side: an assertion (RFC 3325), or another From (RFC 4916)."""
        if parties.asserted(headers) is None:
            stated = parties.party(headers.get("From"))
            if stated.user and not parties.same(stated, self._stated[side]):
                self._stated[side] = stated
                self._take(side, stated, running)
        self.known(side, parties.asserted(headers), running)

    def known(self, side: Side, found: Party | None, running: bool) -> None:
        """Whom a message of this side asserts. Who is asserted for the first time is better known, and nobody else."""
        if found:
            known = side in self._asserted
            self._asserted.add(side)
            self._take(side, found, running and known)

    def _take(self, side: Side, found: Party, running: bool) -> None:
        before = self.parties[side]
        if before.user and parties.same(found, before):
            return
        self.parties[side] = found
        self.handed += running and before.user is not None


def _stated(headers: Headers) -> dict[Side, Party]:
    return {
        Side.CALLER: parties.party(headers.get("From")),
        Side.CALLEE: parties.party(headers.get("To")),
    }
