"""The branches of a call that forks (RFC 3261 section 12): each telephone that answers has a tag of its own."""

from __future__ import annotations

from gateway.tap.effects import Party

MAX_BRANCHES = 16  # a hunt group rings a dozen telephones


class Branches:
    """By the tag of the callee's side. `active` is whose media is the call's."""

    def __init__(self) -> None:
        self.active: str | None = None
        self._answered: dict[str, bool] = {}  # those there are, the latest last
        self._confirmed: set[str] = set()  # those whose answer was acknowledged
        self._gone: set[str] = set()  # those that were hung up
        self._rung: dict[str, Party | None] = {}  # who they said they were while they rang

    def __contains__(self, tag: str) -> bool:
        return tag in self._answered

    def answered(self, tag: str) -> bool:
        return self._answered.get(tag, False)

    def candidates(self) -> tuple[str, ...]:
        """Whose media may be the call's, the likeliest first."""
        return () if self.active is None else (self.active, *reversed(self._answered))

    def first(self) -> str:
        return next(iter(self._answered), "")

    def add(self, tag: str) -> None:
        """One is heard of; of too many, the first that has not answered is forgotten."""
        if not tag or tag in self._answered or tag in self._gone:
            return
        if len(self._answered) >= MAX_BRANCHES:
            forgotten = next((each for each, answered in self._answered.items() if not answered), None)
            if forgotten is None:
                return
            del self._answered[forgotten]
            self._confirmed.discard(forgotten)
        self._answered[tag] = False

    def ring(self, tag: str, party: Party | None) -> None:
        self._rung[tag] = party
        if len(self._rung) > MAX_BRANCHES:
            del self._rung[next(iter(self._rung))]

    def who_rang(self, tag: str) -> Party | None:
        """Whom it named while it rang; told once."""
        return self._rung.pop(tag, None)

    def accept(self, tag: str) -> bool:
        """One answers; False where it was hung up before."""
        if tag in self._gone:
            return False
        if tag in self._answered or len(self._answered) < MAX_BRANCHES:
            self._answered[tag] = True
        return True

    def confirm(self, tag: str) -> None:
        """The caller acknowledges an answer: of several, it is this one that it takes."""
        if tag not in self._answered:
            return
        if self.active not in self._confirmed:
            self.active = tag
        self._confirmed.add(tag)

    def hang_up(self, tag: str, running: bool) -> bool:
        """One ends; True where none is left. A call that runs goes on in another branch only if the caller took that
        one too: an answer that crosses the first one and is never acknowledged is none.
        """
        if running and tag and tag not in self._answered and self.active in self._answered:
            return False  # one that was never heard of
        self._answered.pop(tag, None)
        self._confirmed.discard(tag)
        if len(self._gone) < MAX_BRANCHES:
            self._gone.add(tag)
        if running and self.active in self._answered:
            return False
        left = [each for each in self._answered if each in self._confirmed or not running]
        if left:
            self.active = left[-1]
        return not left
