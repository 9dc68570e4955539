"""An INVITE with all dialogs that it makes: forks, proxies that forward it, retries, what changes it later.

It is told every message of its own and holds what follows from them; whoever reads it compares.
"""

from __future__ import annotations

from gateway.recording.model import Wish
from gateway.sip import session_timer
from gateway.sip.message import Request, Response
from gateway.siprec.dtmf import DtmfError, key_of
from gateway.siprec.wishes import Wishes
from gateway.tap.agreeing import Agreement
from gateway.tap.branches import Branches
from gateway.tap.effects import End, Place, Side
from gateway.tap.exchange import Exchange, Key, other
from gateway.tap.hearing import DialogName, Heard, acknowledged_number, fared_badly
from gateway.tap.identities import Identities
from gateway.tap.lanes import Lane, Lanes, Transaction, asker, callee_tag
from gateway.tap.parties import asserted
from gateway.tap.progress import GONE, SECOND, Course, Pressed


class Invitation:
    """`caller_tag` is the tag of whoever placed the call; of one that was running, of whoever was heard first."""

    def __init__(self, heard: Heard, wish: Wishes) -> None:
        self.call_id = heard.call_id
        self.caller_tag = heard.from_tag
        self.peers: tuple[Place, Place] = (heard.source, heard.destination)
        # A response to an INVITE that was not heard may be of one that begins the call.
        begins = isinstance(heard.message, Response) and heard.cseq.method == "INVITE"
        self.midway = bool(heard.to_tag) and not begins
        self.course = Course(heard.at_ns)
        self.people = Identities(heard.headers)
        self.wished: Wish | None = None
        self.pressed: list[Pressed] = []
        self.faults: list[str] = []
        self._wish = wish
        self._lanes = Lanes()
        self._number = 0  # CSeq of the latest INVITE that begins it
        self._branches = Branches()

    def agreed(self) -> Agreement:
        """What holds in the dialog that answered, or in the early one that was heard of last."""
        for tag in (
            self._branches.candidates()
        ):  # an answer without description, under another tag than the early media's
            exchange = self._lanes.exchange_of(tag)
            if exchange and exchange.agreed:
                return exchange.agreed
        return self.offered() if self.course.answered else Agreement()

    def offered(self) -> Agreement:
        """What the offer says alone."""
        active = self._branches.active
        exchange = self._lanes.exchange_of(active) if active is not None else None
        if exchange and (found := exchange.pending()):
            return found
        return self._lanes.all[0].offers.pending() if self._lanes.all else Agreement()

    def described(self) -> int:
        """Octets of the descriptions that are kept of it."""
        return self._lanes.described()

    def concerns(self, heard: Heard) -> bool:
        """Whether a message with its Call-ID is of this call."""
        return self.caller_tag in (heard.from_tag, heard.to_tag)

    def retries(self, heard: Heard) -> bool:
        """Whether an INVITE without To tag is the same call again, under whatever From tag."""
        return self.course.awaits_retry() and heard.cseq.number > self._number

    def begins_anew(self, heard: Heard) -> bool:
        """Whether a message is of another call than this one, which is over."""
        if heard.cseq.method == "INVITE" and not heard.to_tag:
            return isinstance(heard.message, Request) and heard.cseq.number > self._number
        lost = self.course.ends_by(End.LOST)
        return lost and heard.cseq.method in ("INVITE", "UPDATE") and isinstance(heard.message, Request)

    def has_tags(self, name: DialogName) -> Side | None:
        """Which side of this call a Replaces is sent to; None where it names none of its dialogs."""
        if name.to_tag == self.caller_tag and name.from_tag in self._branches:
            return Side.CALLER
        if name.from_tag == self.caller_tag and name.to_tag in self._branches:
            return Side.CALLEE
        return None

    def hear(self, heard: Heard) -> None:
        """A message of this call."""
        if self.course.over:
            return
        self.course.hear(heard.at_ns)
        if isinstance(heard.message, Request):
            self._request(heard, heard.message)
        else:
            self._response(heard, heard.message)

    def release(self) -> None:
        """It is over and told of: only its names are kept."""
        self._lanes = Lanes()
        self._branches = Branches()

    # Requests

    def _request(self, heard: Heard, request: Request) -> None:
        side = asker(heard, self.caller_tag)
        key: Key = (side, heard.cseq.method, heard.cseq.number)
        lane = self._lanes.of(heard, key)
        match heard.cseq.method:
            case "ACK":
                self._acknowledged(heard, side, lane)
            case "CANCEL":
                self._cancelled(heard, side)
            case "BYE":
                self._hung_up(heard)
            case _:
                self._asked(heard, request, key, lane)

    def _asked(self, heard: Heard, request: Request, key: Key, lane: Lane) -> None:
        initial = heard.cseq.method == "INVITE" and not heard.to_tag
        known = lane.transactions.get(key)
        # Some try again after a challenge under the same CSeq.
        if known and known.offered is not None and (known.branch == heard.branch or known.status < 300):
            return
        first = not self._lanes.knows(key) or bool(known and (known.status >= 300 or known.offered is None))
        if initial and heard.cseq.number < self._number:
            return
        status = known.status if known and known.offered is None else 0
        offered = heard.description is not None
        lane.remember(Transaction(key, heard.branch, initial, offered, status))
        if initial:
            self._invited(heard, request, key, lane)
        elif heard.description:
            self._described(heard, key, lane)
        if first and not initial:
            self._once(heard, request, key[0])

    def _invited(self, heard: Heard, request: Request, key: Key, lane: Lane) -> None:
        newer = heard.cseq.number > self._number
        if newer and not (self.course.answered and self._number):
            again, self._number = self._number > 0, heard.cseq.number
            if again:
                self._branches = Branches()
            self.people.begin(request)
            self.wished = self._wish(request) or self.wished
        self.course.place_again(newer)
        if heard.description:
            lane.offers.request(key, heard.description)
            for tag, exchange in lane.exchanges.items():
                exchange.request(key, heard.description)
                self._settle(lane, key, tag)

    def _described(self, heard: Heard, key: Key, lane: Lane) -> None:
        """An offer within a dialog, or in PRACK the answer to one."""
        assert heard.description is not None
        tag = self._heard_of(heard)
        exchange = lane.exchange(tag, self._lanes.exchange_of(tag))
        if heard.cseq.method == "PRACK":
            asked: Key = (key[0], "INVITE", acknowledged_number(heard.headers))
            if exchange.acknowledged(asked, heard.description):
                self._settle(lane, asked, tag)
                return
        if heard.cseq.method in ("INVITE", "UPDATE", "PRACK"):
            exchange.request(key, heard.description)
            self._settle(lane, key, tag)

    def _once(self, heard: Heard, request: Request, side: Side) -> None:
        """What of a request in a dialog counts once, however often it passes."""
        self._heard_of(heard)
        match heard.cseq.method:
            case "INVITE" | "UPDATE":
                self.people.request(side, request.headers, self.course.answered)
                self.wished = self._wish(request) or self.wished
            case "INFO":
                self.wished = self._wish(request) or self.wished
                try:
                    told = key_of(request)
                except DtmfError:
                    self.faults.append("bad_info")
                    return
                if told:
                    self.pressed.append(Pressed(side, *told))
            case "REFER":
                self.course.referred = side
            case "NOTIFY" if fared_badly(request):
                self.course.unfollow()
            case _:
                pass

    def _acknowledged(self, heard: Heard, side: Side, lane: Lane) -> None:
        key: Key = (side, "INVITE", heard.cseq.number)
        invite = lane.transactions.get(key)
        refused = invite is not None and not 200 <= invite.status < 300
        if refused and invite and invite.initial and invite.branch == heard.branch:
            if not invite.status and not self.course.answered:  # the refusal itself was not heard
                self._refused(lane, invite, 0, heard.at_ns)
            return
        tag = self._heard_of(heard)
        if invite and invite.status >= 300:
            return
        if invite is None:
            carrying = [found for found in self._lanes.all if key in found.transactions]
            lane = carrying[0] if carrying else lane
        if heard.description:
            exchange = lane.exchange(tag, self._lanes.exchange_of(tag))
            if not exchange.acknowledged(key, heard.description) and invite is None:
                exchange.overheard(side, heard.description)
            self._settle(lane, key, tag)
        if heard.to_tag:
            self._accepted(tag, heard.at_ns)
            self._branches.confirm(tag)

    def _cancelled(self, heard: Heard, side: Side) -> None:
        key: Key = (side, "INVITE", heard.cseq.number)
        nearest = self._lanes.upstream(key)
        ours = [transaction for _, transaction in nearest if transaction.branch == heard.branch]
        last = heard.cseq.number == self._number and not self.course.answered and self.course.ending is None
        if last and (not nearest or (ours and len(nearest) == 1)):
            self.course.cancel(heard.at_ns)

    def _hung_up(self, heard: Heard) -> None:
        tag = callee_tag(heard, self.caller_tag)
        if self._branches.hang_up(tag, self.course.answered):
            self.course.hang_up(heard.at_ns)

    # Responses

    def _response(self, heard: Heard, response: Response) -> None:
        side = asker(heard, self.caller_tag)
        key: Key = (side, heard.cseq.method, heard.cseq.number)
        if heard.cseq.method == "REFER" and response.status >= 300:
            self.course.referred = None
        if response.status == 100 or heard.cseq.method not in ("INVITE", "UPDATE", "PRACK", "BYE"):
            return
        if heard.cseq.method == "BYE":
            if response.status < 300:
                self._hung_up(heard)  # the request itself was not heard, or has ended it already
            return
        lane = self._lanes.of(heard, key)
        known = lane.transactions.get(key) or lane.remember(
            Transaction(key, heard.branch, initial=not self.course.answered and side is Side.CALLER)
        )
        if response.status >= 300:
            if not known.status:
                self._refused(lane, known, response.status, heard.at_ns)
        elif response.status >= 200:
            self._agreed_to(heard, response, known, lane)
        elif heard.cseq.method == "INVITE" and known.status < 200:
            self._rang(heard, known, lane)

    def _rang(self, heard: Heard, invite: Transaction, lane: Lane) -> None:
        if not heard.to_tag or self._branches.answered(heard.to_tag):
            if invite.initial:
                self.course.ring()
            return
        tag = self._heard_of(heard)
        if invite.initial:
            self.course.ring()
            found = asserted(heard.headers)
            self._branches.ring(tag, found)
            self.people.known(other(invite.key[0]), found, self.course.answered)
        self._answer(heard, invite, lane, tag)

    def _agreed_to(self, heard: Heard, response: Response, known: Transaction, lane: Lane) -> None:
        tag = self._heard_of(heard)
        repeated, known.status = known.status == response.status, response.status
        if not repeated or known.initial:
            self._answer(heard, known, lane, tag)
        if repeated and self._branches.answered(tag):
            return
        if known.initial:
            self.people.known(Side.CALLEE, self._branches.who_rang(tag), self.course.answered)
        self.people.known(other(known.key[0]), asserted(heard.headers), self.course.answered)
        if heard.cseq.method in ("INVITE", "UPDATE"):
            timer = session_timer.asked(heard.headers)
            self.course.timer_ns = timer.seconds * SECOND if timer and timer.seconds else None
        if heard.cseq.method == "INVITE" or (self.midway and heard.cseq.method == "UPDATE"):
            self._accepted(tag, heard.at_ns)

    def _answer(self, heard: Heard, known: Transaction, lane: Lane, tag: str) -> None:
        """The description of a response, which answers or offers."""
        if heard.description is None:
            return
        exchange = self._with_offer(lane, known.key, tag)
        exchange.response(known.key, heard.description, asked=known.offered is not False)
        self._settle(lane, known.key, tag)

    def _with_offer(self, lane: Lane, key: Key, tag: str) -> Exchange:
        """The dialog's exchange; in a new branch the INVITE's offer waits for its answer too."""
        exchange = lane.exchanges.get(tag)
        if exchange is None:
            exchange = lane.exchange(tag, self._lanes.exchange_of(tag))
            for offer_key, description in self._lanes.waiting(lane, key):
                exchange.request(offer_key, description)
        return exchange

    def _refused(self, lane: Lane, known: Transaction, status: int, at_ns: int) -> None:
        known.status = status or 699
        for exchange in (lane.offers, *lane.exchanges.values()):
            exchange.refused(known.key)
        if not known.initial:
            if self.midway and not self.course.answered:
                self._refused_midway(status, at_ns)
            return
        nearest = self._lanes.upstream(known.key)
        if self.course.answered or known.key[2] != (self._number or known.key[2]):
            return
        if all(found is not lane for found, _ in nearest) or any(t.status < 300 for _, t in nearest):
            return
        self.course.refuse(status, at_ns, alone=len(nearest) == 1, forwarded=lane.hops > 1)

    def _refused_midway(self, status: int, at_ns: int) -> None:
        """The first that was heard of a running call was refused: it goes on, unless it is not there."""
        if status in GONE:
            self.course.end(End.LOST, at_ns)
        else:
            self._accepted(self._branches.first(), at_ns)

    # What both have in common

    def _accepted(self, tag: str, at_ns: int) -> None:
        """A branch answers; the first one is the call."""
        if not self._branches.accept(tag):
            return
        if self.course.answer(at_ns):
            self._branches.active = tag

    def _heard_of(self, heard: Heard) -> str:
        """The branch that a message is of."""
        tag = callee_tag(heard, self.caller_tag)
        self._branches.add(tag)
        return tag

    def _settle(self, lane: Lane, key: Key, tag: str) -> None:
        """Where something was agreed on, it holds; before the answer in the early dialog that was heard of last."""
        exchange = lane.exchanges.get(tag)
        if exchange and exchange.news():
            self._lanes.settle(lane, key, tag)
            if not self.course.answered:
                self._branches.active = tag
