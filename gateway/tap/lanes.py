"""Where one call's messages pass: a proxy forwards them, and each hop may have descriptions of its own.

A lane is one hop, known by the places between which its messages go. Responses follow the Via of their request.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.sip.message import Request
from gateway.sip.sdp import SessionDescription
from gateway.tap.branches import MAX_BRANCHES
from gateway.tap.effects import Place, Side
from gateway.tap.exchange import Exchange, Key
from gateway.tap.hearing import Heard

MAX_LANES = 8  # a call that passes the tap more often than that is looked at no further
MAX_TRANSACTIONS = 32  # remembered of a lane: the last ones, for their retransmissions and responses
MAX_PLACES = 16  # by which a lane is known


@dataclass(slots=True)
class Transaction:
    """A request on one lane."""

    key: Key
    branch: str
    initial: bool  # an INVITE that begins a call, as against one within a dialog
    offered: bool | None = None  # whether it brought a description; None: it was not heard
    status: int = 0  # of its final response


@dataclass(slots=True)
class Lane:
    hops: int  # Vias of the first request
    places: set[Place] = field(default_factory=set)
    transactions: dict[Key, Transaction] = field(default_factory=dict)
    offers: Exchange = field(
        default_factory=Exchange
    )  # of INVITEs that begin the call, before any branch answers
    exchanges: dict[str, Exchange] = field(default_factory=dict)  # by the callee's tag

    def remember(self, transaction: Transaction) -> Transaction:
        self.transactions[transaction.key] = transaction
        if len(self.transactions) > MAX_TRANSACTIONS:
            del self.transactions[next(iter(self.transactions))]
        return transaction

    def exchange(self, tag: str, otherwise: Exchange | None) -> Exchange:
        """Of the dialog with this tag; a new one goes on from what holds elsewhere."""
        found = self.exchanges.get(tag)
        if found is None:
            found = self.exchanges[tag] = Exchange(otherwise.agreed if otherwise else None)
            if len(self.exchanges) > MAX_BRANCHES:
                del self.exchanges[next(iter(self.exchanges))]
        return found


class Lanes:
    """All lanes of a call; `main` is the one whose descriptions are taken."""

    def __init__(self) -> None:
        self.all: list[Lane] = []
        self.main: Lane | None = None

    def of(self, heard: Heard, key: Key) -> Lane:
        """The lane that has this very transaction, else the one between the same places, else a new one."""
        asked = key if isinstance(heard.message, Request) else None
        lane = self._with_branch(key, heard.branch) or self._between(heard, asked)
        if lane is None:
            lane = Lane(heard.hops)
            if len(self.all) < MAX_LANES:
                self.all.append(lane)
        if len(lane.places) < MAX_PLACES:
            lane.places |= {heard.source, heard.destination}
        return lane

    def described(self) -> int:
        """Octets of the descriptions that are kept."""
        exchanges = (each for lane in self.all for each in (lane.offers, *lane.exchanges.values()))
        kept = {id(found): found.size for each in exchanges for found in each.descriptions()}
        return sum(kept.values())

    def knows(self, key: Key) -> bool:
        return any(key in lane.transactions for lane in self.all)

    def upstream(self, key: Key) -> list[tuple[Lane, Transaction]]:
        """The lanes nearest to who asks, of those that carry a transaction; several where the fork itself is not seen."""
        carrying = [lane for lane in self.all if key in lane.transactions]
        least = min((lane.hops for lane in carrying), default=0)
        return [(lane, lane.transactions[key]) for lane in carrying if lane.hops == least]

    def exchange_of(self, tag: str) -> Exchange | None:
        """What holds with this tag on the main lane, or wherever it was agreed on."""
        lanes = [self.main, *self.all] if self.main else self.all
        found = [lane.exchanges[tag] for lane in lanes if lane and tag in lane.exchanges]
        ranked = sorted(found, key=lambda exchange: (not exchange.agreed.whole, not exchange.agreed))
        return ranked[0] if ranked else None

    def waiting(self, lane: Lane, key: Key) -> list[tuple[Key, SessionDescription]]:
        """Offers of INVITEs that a new branch may answer: those on its lane, or else on another one."""
        carrying = [each.offers.waiting() for each in self.all if key in each.transactions]
        return lane.offers.waiting() or next(filter(None, carrying), [])

    def settle(self, lane: Lane, key: Key, tag: str) -> None:
        """Descriptions were agreed on here; they are taken from here, unless the main lane has its own of them.

        A response passes the hops next to its sender first. Whichever lane is first stays: the sound is the same on all.
        """
        main = self.main
        known = main.exchanges.get(tag) if main else None
        if main is None or key not in main.transactions or known is None or not known.agreed.whole:
            self.main = lane

    def _with_branch(self, key: Key, branch: str) -> Lane | None:
        if not branch:
            return None
        return next(
            (
                lane
                for lane in self.all
                if key in lane.transactions and lane.transactions[key].branch == branch
            ),
            None,
        )

    def _between(self, heard: Heard, key: Key | None) -> Lane | None:
        """The lane that has most in common with where a message goes, its hosts at least.

        A forwarded copy on one host goes between other ports than the original: a lane that carries a request already
        takes another branch of it only between the very same places.
        """
        ends = {heard.source, heard.destination}
        hosts = {host for host, _ in ends}
        best: tuple[int, Lane] | None = None
        for lane in self.all:
            common = len(ends & lane.places)
            if not hosts <= {host for host, _ in lane.places}:
                continue
            if key is not None and key in lane.transactions and common < len(ends):
                continue
            if best is None or common > best[0]:
                best = common, lane
        return best[1] if best else None


def asker(heard: Heard, caller_tag: str) -> Side:
    """Which side a message's request comes from."""
    return Side.CALLER if heard.from_tag == caller_tag else Side.CALLEE


def callee_tag(heard: Heard, caller_tag: str) -> str:
    """The tag of the callee's side, which tells forks apart."""
    return heard.to_tag if heard.from_tag == caller_tag else heard.from_tag
