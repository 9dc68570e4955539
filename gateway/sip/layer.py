"""The transactions under way: found again by their keys, driven by messages and timers."""

from __future__ import annotations

from dataclasses import dataclass, replace

from gateway.sip.dialog import DialogTimer
from gateway.sip.effects import Flow, Send
from gateway.sip.headers import NameAddr
from gateway.sip.message import Request, Response, serialise
from gateway.sip.timers import Timers
from gateway.sip.transaction import (
    CLIENT,
    INVITE_CLIENT,
    INVITE_SERVER,
    SERVER,
    Arm,
    Event,
    ServerKey,
    State,
    Timer,
    Transaction,
    Transmit,
)


@dataclass(frozen=True, slots=True)
class ClientKey:
    """What makes a response ours, section 17.1.3."""

    method: str
    branch: str


@dataclass(frozen=True, slots=True)
class Watch:
    """Owner of the timers that run as long as a dialog does."""

    dialog: int


Key = ServerKey | ClientKey
Owner = (
    Key | int | Watch
)  # of timers: a transaction, a dialog by its number for its answers, a dialog for all its life


@dataclass(frozen=True, slots=True)
class Entry:
    transaction: Transaction
    request: Request  # of a server transaction without its body
    flow: Flow  # where its messages go
    dialog: int
    tag: str = ""  # the To tag of its responses


def merge_key(request: Request) -> tuple[str, ...]:
    """What a request that reached us over two paths has in common, section 8.2.2.2."""
    caller = NameAddr.parse(request.headers.get("From") or "").tag or ""
    return (caller, request.headers.get("Call-ID") or "", request.headers.get("CSeq") or "")


def status_event(status: int) -> Event:
    if status < 200:
        return Event.PROVISIONAL
    return Event.SUCCESS if status < 300 else Event.FAILURE


class TransactionLayer:
    """Timers are shared with the dialogs, whose owners are their numbers."""

    def __init__(self, timers: Timers[Owner, Timer | DialogTimer]) -> None:
        self._timers = timers
        self._entries: dict[Key, Entry] = {}
        self._merged: dict[tuple[str, ...], ServerKey] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Key) -> Entry | None:
        return self._entries.get(key)

    def is_merged(self, request: Request, key: ServerKey) -> bool:
        return self._merged.get(merge_key(request), key) != key

    def open(self, key: ServerKey, request: Request, flow: Flow, dialog: int, tag: str) -> None:
        """A server transaction for a new request."""
        moves = INVITE_SERVER if request.method == "INVITE" else SERVER
        # Responses echo headers alone; a flood of large bodies is not kept for the half minute that timers take.
        echoed = replace(request, body=b"")
        self._entries[key] = Entry(Transaction(moves, flow.reliable), echoed, flow, dialog, tag)
        if request.method == "INVITE":
            self._merged[merge_key(request)] = key

    def call(self, key: ClientKey, request: Request, flow: Flow, dialog: int, now: float) -> list[Send]:
        """A client transaction: sends the request."""
        moves = INVITE_CLIENT if request.method == "INVITE" else CLIENT
        self._entries[key] = Entry(Transaction(moves, flow.reliable), request, flow, dialog)
        return self.drive(key, Event.REQUEST, now, serialise(request))

    def respond(self, key: Key, answer: Response, now: float) -> list[Send]:
        return self.drive(key, status_event(answer.status), now, serialise(answer))

    def drive(self, key: Key, event: Event | Timer, now: float, data: bytes = b"") -> list[Send]:
        """One event of a known transaction; what ends is forgotten."""
        entry = self._entries.get(key)
        if entry is None:
            return []
        sends: list[Send] = []
        for effect in entry.transaction.handle(event, now, data):
            match effect:
                case Transmit(message) if message:  # no ACK for a dialog that is forgotten
                    sends.append(Send(message, entry.flow))
                case Arm(timer, at):
                    self._timers.arm(key, timer, at)
        if entry.transaction.state is State.TERMINATED:
            self._forget(key)
        return sends

    def drop_connection(self, connection: int) -> list[tuple[Key, Entry]]:
        """Forget what can neither be answered nor repeated any more; what that was."""
        lost = [(key, entry) for key, entry in self._entries.items() if entry.flow.connection == connection]
        for key, _ in lost:
            self._forget(key)
        return lost

    def _forget(self, key: Key) -> None:
        entry = self._entries.pop(key)
        self._timers.disarm(key)
        if isinstance(key, ServerKey) and entry.request.method == "INVITE":
            merged = merge_key(entry.request)
            if self._merged.get(merged) == key:
                del self._merged[merged]
