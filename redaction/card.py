"""The card rule: a run of keys that looks like the number of a payment card. Times are ns of one clock.

No digit is kept. Of each place in the run where a card number may begin there is its time, how many digits came
since, how far they agree with the prefixes of card schemes, and two running sums of the check digit's formula.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.recording.model import Cause
from gateway.redaction.digit import Digit
from gateway.redaction.rules import SECOND, CardRule

SLOW_NS = 120 * SECOND  # a number may take so long where its check digit proves it
LONGEST = 19  # digits of a card number, ISO/IEC 7812-1
# Issuer identification numbers (ISO/IEC 7812-1) as the schemes publish them: first and last prefix, and how many
# digits the numbers have that are in use.
SCHEMES = (
    (4, 4, (16,)),  # Visa
    (51, 55, (16,)), (2221, 2720, (16,)),  # Mastercard
    (34, 34, (15,)), (37, 37, (15,)),  # American Express
    (30, 30, (14,)), (36, 36, (14,)), (38, 39, (14,)),  # Diners Club
    (6011, 6011, (16,)), (64, 65, (16,)),  # Discover
    (3528, 3589, (16,)),  # JCB
    (62, 62, (16, 17, 18, 19)),  # UnionPay
    (50, 50, (16, 18, 19)), (56, 69, (16, 18, 19)),  # Maestro
)  # fmt: skip
DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)  # what a digit counts in every other place, ISO/IEC 7812-1 annex B


@dataclass(frozen=True, slots=True)
class State:
    """How far some digits agree with a scheme's prefix; one for all digits that agree equally."""

    next: tuple[State | None, ...] = ()  # by the digit that follows; none where the prefix is complete
    lengths: frozenset[int] = frozenset()  # of the numbers of schemes whose prefix is complete


def _automaton(known: dict[State, State], done: str = "") -> State | None:
    """The state after the digits `done`; None where no scheme's numbers begin so."""
    whole: list[tuple[int, ...]] = []
    longer = False
    for first, last, lengths in SCHEMES:
        size = len(str(first))
        if len(done) >= size:
            if first <= int(done[:size]) <= last:
                whole.append(lengths)
        elif int(str(first)[: len(done)] or 0) <= int(done or 0) <= int(str(last)[: len(done)] or 0):
            longer = True
    if whole:
        state = State(lengths=frozenset(length for lengths in whole for length in lengths))
    elif longer:
        state = State(next=tuple(_automaton(known, done + key) for key in "0123456789"))
    else:
        return None
    return known.setdefault(state, state)


START = _automaton({})


@dataclass(slots=True)
class _Candidate:
    """A place in the run where a card number may begin."""

    began_ns: int
    state: State | None = field(default=START, repr=False)
    length: int = 0
    # Of the check, for numbers with an even and an odd count of digits.
    sums: tuple[int, int] = field(default=(0, 0), repr=False)
    unbroken: bool = True  # no gap lay between its digits

    def take(self, digit: int) -> None:
        if self.state and self.state.next:
            self.state = self.state.next[digit]
        even, odd = self.sums
        if self.length % 2:
            self.sums = (even + digit) % 10, (odd + DOUBLED[digit]) % 10
        else:
            self.sums = (even + DOUBLED[digit]) % 10, (odd + digit) % 10
        self.length += 1

    def spaced(self) -> bool:
        """Whether cards print a space here: who stops to look at one does so between two blocks of its digits."""
        if self.state is None or not self.state.lengths:
            return False
        return self.length in ((4, 8, 12, 16) if max(self.state.lengths) >= 16 else (4, 10))

    def proven(self) -> bool:
        """Whether it is as long as its scheme's numbers are, and the check digit is right."""
        long = self.state is not None and self.length in self.state.lengths
        return long and self.sums[self.length % 2] == 0


class CardWatch:
    """Listens to the digits of one call, whoever keys them: on which leg a key is heard is no proof of whose it is.

    `key` says when a pause is to begin. From then on it is open here, until `close`; every key puts off when it ends.
    """

    def __init__(self, rule: CardRule) -> None:
        self._rule = rule
        # A pause that ended sooner would end while the run goes on.
        self._quiet_ns = max(rule.quiet_ns, rule.gap_ns)
        self._candidates: list[_Candidate] = []
        self._opened_ns: int | None = None
        self._last_ns = 0  # of the latest key

    @property
    def open(self) -> bool:
        return self._opened_ns is not None

    def key(self, digit: Digit, at_ns: int) -> int | None:
        """Take a key. Where it makes the run look like a card number: when that number began.

        A star or a hash ends a run: many systems ask for one after each thing that they ask for. So does a gap.
        But a number with gaps only where cards have spaces is still one when its length and check digit prove it.
        """
        gap = at_ns - self._last_ns > self._rule.gap_ns
        self._last_ns = max(self._last_ns, at_ns)
        if self.open or not self._rule.active:
            return None
        if digit > Digit.NINE:
            self._candidates.clear()
            return None
        if gap:
            self._break_off()
        began = self._take(int(digit), at_ns)
        if began is not None:
            self._candidates.clear()
            self._opened_ns = at_ns
        return began

    def ends(self) -> tuple[int, Cause] | None:
        """When the open pause ends if no further key comes, and why; None when none is open.

        The ceiling, too, waits until no key has come for the gap.
        """
        if self._opened_ns is None:
            return None
        quiet = self._last_ns + self._quiet_ns
        ceiling = max(self._opened_ns + self._rule.ceiling_ns, self._last_ns + self._rule.gap_ns)
        return (quiet, Cause.QUIET) if quiet <= ceiling else (ceiling, Cause.CEILING)

    def reopen(self, opened_ns: int, now: int) -> None:
        """Go on with a pause whose keys another one has heard: it is not over before they could be quiet."""
        self._opened_ns, self._last_ns = opened_ns, now

    def close(self) -> None:
        """The pause is over; the keys so far do not open another one."""
        self._opened_ns = None
        self._candidates.clear()

    def _take(self, digit: int, at_ns: int) -> int | None:
        self._candidates.append(_Candidate(at_ns))
        for candidate in self._candidates:
            candidate.take(digit)
        self._candidates = [each for each in self._candidates if self._may_be(each, at_ns)]
        return next((each.began_ns for each in self._candidates if self._is_card(each)), None)

    def _may_be(self, candidate: _Candidate, now: int) -> bool:
        fits = candidate.length <= LONGEST and now - candidate.began_ns <= SLOW_NS
        return fits and (candidate.state is not None or not self._rule.schemes_only)

    def _is_card(self, candidate: _Candidate) -> bool:
        long = candidate.length >= self._rule.least_digits
        return long and (candidate.unbroken or candidate.proven())

    def _break_off(self) -> None:
        self._candidates = [each for each in self._candidates if each.spaced()]
        for candidate in self._candidates:
            candidate.unbroken = False
