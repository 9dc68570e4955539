"""A dialog as the user agent server sees it (RFC 3261 sections 12, 13.3 and 15)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import Enum, auto
from ipaddress import ip_address

from gateway.sip.answers import ALLOW, Fields
from gateway.sip.effects import Flow, Send
from gateway.sip.errors import BadMessage
from gateway.sip.headers import CSeq, NameAddr, SipUri, Via, bracketed
from gateway.sip.message import Headers, Request, Response
from gateway.sip.session_timer import Agreed
from gateway.sip.transaction import T1, T2


class State(Enum):
    INVITED = auto()  # the first INVITE is not answered
    ACCEPTED = auto()  # a 2xx is out, its ACK is awaited
    CONFIRMED = auto()
    WITHDRAWN = auto()  # to be hung up once the ACK is here: section 15 forbids BYE before
    ENDING = auto()  # our BYE is out
    ENDED = auto()


class Event(Enum):
    ANSWER = auto()  # 2xx to INVITE or re-INVITE
    REFUSE = auto()  # other final response to the first INVITE
    ACK = auto()
    NO_ACK = auto()  # 64*T1 passed
    HANG_UP = auto()  # we want to end it
    BYE = auto()  # the peer did
    GONE = auto()  # our BYE is answered or timed out


MOVES: Mapping[State, Mapping[Event, State]] = {
    State.INVITED: {Event.ANSWER: State.ACCEPTED, Event.REFUSE: State.ENDED, Event.BYE: State.ENDED},
    State.ACCEPTED: {
        Event.ACK: State.CONFIRMED,
        Event.NO_ACK: State.ENDING,
        Event.HANG_UP: State.WITHDRAWN,
        Event.BYE: State.ENDED,
    },
    State.CONFIRMED: {Event.ANSWER: State.ACCEPTED, Event.HANG_UP: State.ENDING, Event.BYE: State.ENDED},
    State.WITHDRAWN: {Event.ACK: State.ENDING, Event.NO_ACK: State.ENDING, Event.BYE: State.ENDED},
    State.ENDING: {Event.GONE: State.ENDED, Event.BYE: State.ENDED},
    State.ENDED: {},
}


OVER = frozenset({State.WITHDRAWN, State.ENDING, State.ENDED})  # nothing more happens that matters outside


_UNWRITABLE = re.compile(r"[\s\x00-\x1f\x7f]")  # in a request line


class DialogTimer(Enum):
    REPEAT_ANSWER = auto()
    NO_ACK = auto()
    REFRESH = auto()  # of the session, RFC 4028
    EXPIRE = auto()


@dataclass(frozen=True, slots=True)
class DialogId:
    """Section 12: an RFC 2543 peer has no tag."""

    call_id: str
    local_tag: str
    remote_tag: str


class Dialog:
    """State, sequence numbers and routing; whoever holds it sends and keeps the timers."""

    def __init__(self, number: int, request: Request, local_tag: str, flow: Flow) -> None:
        """From the INVITE that creates it. Raises BadMessage."""
        headers = request.headers
        caller = NameAddr.parse(headers.get("From") or "")
        self.number = number
        self.id = DialogId(headers.get("Call-ID") or "", local_tag, caller.tag or "")
        self.state = State.INVITED
        self.flow: Flow | None = flow  # None when its connection is gone
        self.remote_sequence = request.cseq.number
        self.established = False
        self.contact = ""  # ours, as last sent
        self.awaited = 0  # CSeq of the INVITE whose ACK is awaited
        self.answer: Send | None = None  # the 2xx that is repeated until its ACK
        self._interval = T1
        self._local = f"{headers.get('To')};tag={local_tag}"
        self._remote = headers.get("From") or ""
        self._routes = tuple(route for route in headers.all("Record-Route") if _readable(route))
        self._local_sequence = 0
        self.host = flow.peer[0]  # whoever made the dialog
        self.session: Agreed | None = None
        self.description = b""  # ours, as last sent
        allowed = {method.upper() for method in headers.all("Allow")}
        self.peer_updates = "UPDATE" in allowed
        host, port = flow.peer
        self._target = f"sip:{bracketed(host)}:{port}" if _UNWRITABLE.search(caller.uri) else caller.uri
        self._sent_by = request.via.host
        self.refresh_target(request)

    def move(self, event: Event) -> bool:
        """Take the step; False when this state does not know the event."""
        step = MOVES[self.state].get(event)
        self.state = step or self.state
        return step is not None

    def refresh_target(self, request: Request) -> None:
        """The Contact of INVITE and UPDATE is where our requests go, section 12.2.2."""
        for contact in request.headers.all("Contact")[:1]:
            # An odd Contact must not cost the recording: the target before it stays.
            with suppress(BadMessage):
                uri = NameAddr.parse(contact).uri
                self._target = self._target if _UNWRITABLE.search(uri) else uri

    def next_repeat(self) -> float:
        """Seconds until the 2xx is sent again, section 13.3.1.4; over TCP too."""
        interval, self._interval = self._interval, min(2 * self._interval, T2)
        return interval

    def await_ack(self, sequence: int, answer: Send) -> None:
        self.awaited, self.answer, self._interval = sequence, answer, T1

    def request(
        self, method: str, branch: str, flow: Flow, fields: Fields = (), body: bytes = b""
    ) -> Request:
        """A request of ours, section 12.2.1.1; INVITE and UPDATE name our Contact."""
        self._local_sequence += 1
        if method in ("INVITE", "UPDATE"):
            fields = (("Contact", self.contact), *ALLOW, *fields)
        return self._build(method, self._local_sequence, branch, flow, fields, body)

    def acknowledgement(self, invite: Request, branch: str, flow: Flow, answer: Response) -> Request:
        """The ACK to an answer to our re-INVITE, sections 13.2.2.4 and 17.1.1.3."""
        if answer.status < 300:
            return self._build("ACK", invite.cseq.number, branch, flow)
        kept = ("Via", "Route", "From", "Call-ID", "Max-Forwards")
        fields = tuple(field for field in invite.headers.fields if field[0] in kept)
        to = ("To", answer.headers.get("To") or self._remote)
        return Request("ACK", invite.uri, Headers((*fields, to, ("CSeq", f"{invite.cseq.number} ACK"))))

    def _build(
        self, method: str, sequence: int, branch: str, flow: Flow, extra: Fields = (), body: bytes = b""
    ) -> Request:
        host, port = flow.local
        via = Via(flow.transport.upper(), bracketed(host), port, (("branch", branch), ("rport", None)))
        target, routes = self._target, self._routes
        if routes and not _parsed(routes[0]).loose:
            # A strict router takes the request URI; the target goes last in the routes.
            target, routes = str(_parsed(routes[0])), (*routes[1:], f"<{self._target}>")
        fields = [("Via", str(via)), *(("Route", route) for route in routes), ("From", self._local)]
        fields += [("To", self._remote), ("Call-ID", self.id.call_id), ("Max-Forwards", "70")]
        fields += [("CSeq", str(CSeq(sequence, method))), *extra]
        return Request(method, target, Headers(tuple(fields)), body)

    def bye_flow(self, flow: Flow) -> Flow:
        """Where our request goes. No names are resolved: an address that is not numeric, or that a NAT hides
        (the peer's own sent-by is not where its messages come from), is passed over for where it last came from.
        """
        try:
            uri = _parsed(self._routes[0]) if self._routes else SipUri.parse(self._target)
        except BadMessage:
            return flow
        address = uri.host.strip("[]")
        hidden = self._sent_by.strip("[]") != flow.peer[0] and address != flow.peer[0]
        if flow.reliable or hidden or not _usable(address, flow.peer[0]):
            return flow
        return replace(flow, peer=(address, uri.port or 5060))


def _usable(address: str, peer: str) -> bool:
    """Whether a datagram can go there from the socket that heard the peer, with no name looked up."""
    try:
        found = ip_address(address)
    except ValueError:
        return False
    same_family = (found.version == 6) == (":" in peer)
    return same_family and not (found.is_unspecified or found.is_multicast)


def _parsed(route: str) -> SipUri:
    return SipUri.parse(NameAddr.parse(route).uri)


def _readable(route: str) -> bool:
    try:
        _parsed(route)
    except BadMessage:
        return False
    return True
