"""How far an overheard call has come, and how long it may stay so."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from gateway.redaction.digit import Digit
from gateway.tap.effects import End, Side

SECOND = 1_000_000_000
# An INVITE that nothing is heard of: its retransmissions end after 32 s (RFC 3261 timer B), its refusal may be lost.
UNANSWERED_NS = 64 * SECOND
# A telephone that rings. Proxies give up after three minutes unless they hear of it (timer C); queues ring for long.
RINGING_NS = 3600 * SECOND
LONGEST_NS = 24 * 3600 * SECOND  # a call of which nothing was heard for a day is no call
RETRY_NS = 5 * SECOND  # after a challenge or redirection the next INVITE comes at once, if one comes
FORK_NS = 2 * SECOND  # a proxy that tries one after the other goes on at once
CANCEL_NS = 32 * SECOND  # a cancelled INVITE is answered by then (RFC 3261 section 9.1)
# What speaks for a call whose place another one has comes with a re-INVITE, or when calls with one place end.
TAKEN_NS = 60 * SECOND
FOLLOW_NS = 32 * SECOND  # within this who was referred places its call
FOLLOWED_NS = 5 * SECOND  # a call that was hung up after a REFER may go on in the one that follows
TRANSFER_NS = 180 * SECOND  # as long as that one may ring, as with timer C
EXPIRY_GRACE_NS = 32 * SECOND  # of session timers
# RFC 3261 section 8.1.3.5, RFC 4028, RFC 3329: the client may try again as the same call.
RETRIED = frozenset({*range(300, 400), 401, 407, 413, 415, 416, 417, 420, 421, 422, 423, 428, 494})
GONE = frozenset({408, 481})  # in a dialog: it is not there any more (RFC 5057 section 5.1)


class State(StrEnum):
    CALLING = "calling"  # an INVITE, and no more than 100
    RINGING = "ringing"
    ANSWERED = "answered"
    ENDED = "ended"


MOVES: dict[State, frozenset[State]] = {
    State.CALLING: frozenset({State.RINGING, State.ANSWERED, State.ENDED}),
    State.RINGING: frozenset({State.ANSWERED, State.ENDED}),
    State.ANSWERED: frozenset({State.ENDED}),
    State.ENDED: frozenset(),
}


@dataclass(frozen=True, slots=True)
class Ending:
    """How it ends, and from when on that is certain."""

    how: End
    status: int
    at_ns: int
    due_ns: int


@dataclass(frozen=True, slots=True)
class Pressed:
    side: Side
    digit: Digit
    lasts_ms: int


class Course:
    """What state a call is in, and when it is over if nothing more is heard. Once it has ended it stays so."""

    def __init__(self, at_ns: int) -> None:
        self.begun_ns = self.heard_ns = at_ns
        self.state = State.CALLING
        self.answered_ns = 0
        self.ending: Ending | None = None
        self.referred: Side | None = None  # who asks the other one to call somebody else
        self.followed = False  # and that call rings: this one may go on in it
        self.taken_ns: int | None = None  # when a newer call took its place for media
        self.timer_ns: int | None = None  # the session timer's interval

    @property
    def answered(self) -> bool:
        return self.answered_ns > 0

    @property
    def over(self) -> bool:
        return self.state is State.ENDED

    @property
    def due_ns(self) -> int:
        """When it ends if nothing more is heard."""
        if self.ending:
            return self.ending.at_ns + TRANSFER_NS if self.followed else self.ending.due_ns
        if self.state is State.ANSWERED:
            limits = [self.heard_ns + LONGEST_NS]
            limits += [self.heard_ns + self.timer_ns + EXPIRY_GRACE_NS] if self.timer_ns else []
            limits += [self.taken_ns + TAKEN_NS] if self.taken_ns is not None else []
            return min(limits)
        return self.heard_ns + (RINGING_NS if self.state is State.RINGING else UNANSWERED_NS)

    def ends_by(self, how: End) -> bool:
        """Whether this is how it has ended, or will if nothing changes that."""
        return self.ending is not None and self.ending.how is how

    def awaits_retry(self) -> bool:
        """Whether it was refused in a way after which it may be placed again."""
        return self.ending is not None and self.ending.status in RETRIED and not self.over

    def hear(self, at_ns: int) -> None:
        """A message of it."""
        self.heard_ns = max(self.heard_ns, at_ns)
        self.taken_ns = None

    def place_again(self, newer: bool) -> None:
        """The next attempt; one that is not `newer`, without a CSeq of its own, is a proxy's."""
        if not self.answered and self.ending and (newer or not self.ends_by(End.CANCELLED)):
            self.ending = None

    def ring(self) -> None:
        if self.state is State.CALLING:
            self._move(State.RINGING)
        if not self.ends_by(End.CANCELLED):
            self.ending = None

    def answer(self, at_ns: int) -> bool:
        """Whether this is the first answer."""
        if self.answered:
            return False
        self.ending = None
        self.answered_ns = max(at_ns, 1)
        self._move(State.ANSWERED)
        return True

    def cancel(self, at_ns: int) -> None:
        self.ending = Ending(End.CANCELLED, 0, at_ns, at_ns + CANCEL_NS)

    def refuse(self, status: int, at_ns: int, alone: bool, forwarded: bool) -> None:
        """`alone`: of several branches none is left; `forwarded`: by a proxy, which may try another one."""
        if status == 487 or self.ends_by(End.CANCELLED):
            at_ns = self.ending.at_ns if self.ending else at_ns
            self._end_later(End.CANCELLED, status, at_ns, 0 if alone else FORK_NS)
        else:
            wait = RETRY_NS if status in RETRIED else FORK_NS if forwarded and status < 600 else 0
            self._end_later(End.REFUSED, status, at_ns, wait)

    def hang_up(self, at_ns: int) -> None:
        if self.referred and self.answered:
            self.ending = self.ending or Ending(End.BYE, 0, at_ns, at_ns + FOLLOWED_NS)
        else:
            self.end(End.BYE, at_ns)

    def unfollow(self) -> None:
        """The call that was to take its place comes to nothing."""
        self.referred, self.followed = None, False
        if self.ending and self.answered:
            self.end(self.ending.how, self.ending.at_ns)

    def end(self, how: End, at_ns: int, status: int = 0) -> None:
        """It is over, whatever comes."""
        self.ending = Ending(how, status, at_ns, at_ns)
        self._move(State.ENDED)

    def expire(self, now_ns: int) -> None:
        """End it where its time has come."""
        if not self.over and now_ns >= self.due_ns:
            if self.ending is None:
                self.ending = Ending(End.LOST, 0, now_ns, now_ns)
            self._move(State.ENDED)

    def _end_later(self, how: End, status: int, at_ns: int, wait_ns: int) -> None:
        self.ending = Ending(how, status, at_ns, at_ns + wait_ns)
        if not wait_ns:
            self._move(State.ENDED)

    def _move(self, to: State) -> None:
        if to is self.state:
            return
        if to not in MOVES[self.state]:
            raise AssertionError(f"a call cannot go from {self.state} to {to}")
        self.state = to
