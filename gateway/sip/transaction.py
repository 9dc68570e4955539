"""Transactions (RFC 3261 section 17, RFC 6026): four tables and one machine that walks them.

An event missing from its state's row is absorbed: a retransmission or a stale timer, never an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

from gateway.sip.headers import MAGIC_COOKIE, NameAddr
from gateway.sip.message import Request

T1, T2, T4 = 0.5, 4.0, 5.0  # seconds, RFC 3261 table 4
TIMEOUT = 64 * T1


class State(Enum):
    TRYING, PROCEEDING, ACCEPTED, COMPLETED, CONFIRMED, TERMINATED = (auto() for _ in range(6))


class Event(Enum):
    REQUEST = auto()  # seen again (server), or to be sent (client)
    ACK = auto()
    PROVISIONAL = auto()
    SUCCESS = auto()
    FAILURE = auto()


class Timer(Enum):
    A, B, D, E, F, G, H, I, J, K, L, M = "ABDEFGHIJKLM"


class Do(Enum):
    SEND = auto()  # the message of this event, kept for repetition
    REPEAT = auto()  # the message last sent
    SLOW = auto()  # repeat only every T2 from now on


Moves = Mapping[State, Mapping[Event | Timer, tuple[State, tuple[Do | Timer, ...]]]]

# Figure 7 of RFC 3261 as changed by figure 2 of RFC 6026. In ACCEPTED the user agent repeats the 2xx.
INVITE_SERVER: Moves = {
    State.PROCEEDING: {
        Event.REQUEST: (State.PROCEEDING, (Do.REPEAT,)),
        Event.PROVISIONAL: (State.PROCEEDING, (Do.SEND,)),
        Event.SUCCESS: (State.ACCEPTED, (Do.SEND, Timer.L)),
        Event.FAILURE: (State.COMPLETED, (Do.SEND, Timer.G, Timer.H)),
    },
    State.ACCEPTED: {
        Event.SUCCESS: (State.ACCEPTED, (Do.SEND,)),
        Timer.L: (State.TERMINATED, ()),
    },
    State.COMPLETED: {
        Event.REQUEST: (State.COMPLETED, (Do.REPEAT,)),
        Timer.G: (State.COMPLETED, (Do.REPEAT, Timer.G)),
        Event.ACK: (State.CONFIRMED, (Timer.I,)),
        Timer.H: (State.TERMINATED, ()),
    },
    State.CONFIRMED: {Timer.I: (State.TERMINATED, ())},
    State.TERMINATED: {},
}

# Figure 8 of RFC 3261.
SERVER: Moves = {
    State.TRYING: {
        Event.PROVISIONAL: (State.PROCEEDING, (Do.SEND,)),
        Event.SUCCESS: (State.COMPLETED, (Do.SEND, Timer.J)),
        Event.FAILURE: (State.COMPLETED, (Do.SEND, Timer.J)),
    },
    State.PROCEEDING: {
        Event.REQUEST: (State.PROCEEDING, (Do.REPEAT,)),
        Event.PROVISIONAL: (State.PROCEEDING, (Do.SEND,)),
        Event.SUCCESS: (State.COMPLETED, (Do.SEND, Timer.J)),
        Event.FAILURE: (State.COMPLETED, (Do.SEND, Timer.J)),
    },
    State.COMPLETED: {
        Event.REQUEST: (State.COMPLETED, (Do.REPEAT,)),
        Timer.J: (State.TERMINATED, ()),
    },
    State.TERMINATED: {},
}

# Figure 6 of RFC 3261.
CLIENT: Moves = {
    State.TRYING: {
        Event.REQUEST: (State.TRYING, (Do.SEND, Timer.E, Timer.F)),
        Timer.E: (State.TRYING, (Do.REPEAT, Timer.E)),
        Timer.F: (State.TERMINATED, ()),
        Event.PROVISIONAL: (State.PROCEEDING, (Do.SLOW,)),
        Event.SUCCESS: (State.COMPLETED, (Timer.K,)),
        Event.FAILURE: (State.COMPLETED, (Timer.K,)),
    },
    State.PROCEEDING: {
        Timer.E: (State.PROCEEDING, (Do.REPEAT, Timer.E)),
        Timer.F: (State.TERMINATED, ()),
        Event.SUCCESS: (State.COMPLETED, (Timer.K,)),
        Event.FAILURE: (State.COMPLETED, (Timer.K,)),
    },
    State.COMPLETED: {Timer.K: (State.TERMINATED, ())},
    State.TERMINATED: {},
}

# Figure 5 of RFC 3261 as changed by figure 1 of RFC 6026; what is sent on an answer is its ACK. A program is asked,
# nobody has to lift a receiver: timer B runs on in PROCEEDING.
INVITE_CLIENT: Moves = {
    State.TRYING: {
        Event.REQUEST: (State.TRYING, (Do.SEND, Timer.A, Timer.B)),
        Timer.A: (State.TRYING, (Do.REPEAT, Timer.A)),
        Timer.B: (State.TERMINATED, ()),
        Event.PROVISIONAL: (State.PROCEEDING, ()),
        Event.SUCCESS: (State.ACCEPTED, (Do.SEND, Timer.M)),
        Event.FAILURE: (State.COMPLETED, (Do.SEND, Timer.D)),
    },
    State.PROCEEDING: {
        Timer.B: (State.TERMINATED, ()),
        Event.SUCCESS: (State.ACCEPTED, (Do.SEND, Timer.M)),
        Event.FAILURE: (State.COMPLETED, (Do.SEND, Timer.D)),
    },
    State.ACCEPTED: {
        Event.SUCCESS: (State.ACCEPTED, (Do.SEND,)),
        Timer.M: (State.TERMINATED, ()),
    },
    State.COMPLETED: {
        Event.FAILURE: (State.COMPLETED, (Do.SEND,)),
        Timer.D: (State.TERMINATED, ()),
    },
    State.TERMINATED: {},
}

_START = {
    id(INVITE_CLIENT): State.TRYING,
    id(INVITE_SERVER): State.PROCEEDING,
    id(SERVER): State.TRYING,
    id(CLIENT): State.TRYING,
}

# Seconds over an unreliable transport, and over a reliable one, which needs no time to absorb repetitions.
_WAITS = {
    Timer.F: (TIMEOUT, TIMEOUT), Timer.H: (TIMEOUT, TIMEOUT), Timer.I: (T4, 0.0), Timer.J: (TIMEOUT, 0.0),
    Timer.K: (T4, 0.0), Timer.L: (TIMEOUT, TIMEOUT), Timer.B: (TIMEOUT, TIMEOUT), Timer.D: (TIMEOUT, 0.0),
    Timer.M: (TIMEOUT, TIMEOUT),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Transmit:
    data: bytes


@dataclass(frozen=True, slots=True)
class Arm:
    timer: Timer
    at: float


class Transaction:
    """Feed it events, the time and what to send; it answers with what to transmit and which timers to arm."""

    __slots__ = ("_data", "_interval", "_moves", "_reliable", "state")

    def __init__(self, moves: Moves, reliable: bool) -> None:
        self.state = _START[id(moves)]
        self._moves = moves
        self._reliable = reliable
        self._interval = T1
        self._data = b""

    def handle(self, event: Event | Timer, now: float, data: bytes = b"") -> list[Transmit | Arm]:
        move = self._moves[self.state].get(event)
        if move is None:
            return []
        self.state, actions = move
        effects: list[Transmit | Arm] = []
        for action in actions:
            match action:
                case Do.SEND:
                    self._data = data
                    effects.append(Transmit(data))
                case Do.REPEAT if self._data:
                    effects.append(Transmit(self._data))
                case Do.SLOW:
                    self._interval = T2
                case Timer.A if not self._reliable:
                    effects.append(Arm(action, now + self._interval))
                    self._interval *= 2
                case Timer.E | Timer.G if not self._reliable:
                    effects.append(Arm(action, now + self._interval))
                    self._interval = min(2 * self._interval, T2)
                case Timer() if action in _WAITS:
                    effects.append(Arm(action, now + _WAITS[action][self._reliable]))
        return effects


@dataclass(frozen=True, slots=True)
class ServerKey:
    """What makes two requests one transaction, section 17.2.3."""

    method: str  # of the request that started it: ACK and CANCEL look for INVITE
    parts: tuple[str, ...]


def server_key(request: Request, method: str | None = None) -> ServerKey:
    """The key of the transaction a request belongs to; `method` names it for ACK and CANCEL.

    Without the magic cookie (RFC 2543) the whole request identifies it. The To tag is left out, since an ACK
    carries the one of our answer. Raises BadMessage.
    """
    via = request.via
    method = method or request.method
    sent_by = f"{via.host.lower()}:{via.port or 5060}"
    if via.branch.startswith(MAGIC_COOKIE) and len(via.branch) > len(MAGIC_COOKIE):
        return ServerKey(method, (via.branch.lower(), sent_by))
    caller = NameAddr.parse(request.headers.get("From") or "").tag or ""
    call_id = request.headers.get("Call-ID") or ""
    return ServerKey(method, (request.uri, caller, call_id, str(request.cseq.number), via.branch, sent_by))
