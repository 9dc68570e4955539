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
