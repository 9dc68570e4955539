"""The forwarder: one SIP address towards the trunk, and behind it as many endpoint processes as calls ask for.

Each process is a user agent with a port of its own, and there may be dozens. The trunk must know one: it registers one
contact, sends calls to one place, and often takes calls only from the address and port that registered. Answering 302 to
another process's contact is not followed by many trunks; registering each process makes the trunk ring all of them.
So this stands between them, as a stateless proxy does (RFC 3261 section 16.11): it adds and takes off its own Via,
chooses a process for a new call, and afterwards goes by the Call-ID. Contacts name this place, so that the trunk needs
no Record-Route of ours; the processes see one, so that what they send in a dialog comes through here.

Of what comes from outside only what was screened reaches a process, with one Via: the others wait, packed, in a parameter of ours.

Pure: every message gives back what to send, in order. What cannot be forwarded costs a count.
"""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from gateway.endpoint.challenges import answered, understood
from gateway.endpoint.describing import count
from gateway.endpoint.effects import (
    Answered,
    Description,
    Dropped,
    Effect,
    Given,
    Hop,
    Referred,
    ToOutside,
    ToSeat,
)
from gateway.endpoint.farewells import LEAVING, Farewells
from gateway.endpoint.referring import Referring, notify
from gateway.endpoint.rewriting import (
    FORWARDED,
    forwards,
    honest,
    packed,
    plain,
    unpacked,
    with_forwards,
    with_list,
    without_own_route,
)
from gateway.endpoint.screening import OFFERING, fits, screened
from gateway.endpoint.showing import caller_field
from gateway.sip.answers import ALLOW, media_type, response
from gateway.sip.errors import BadMessage
from gateway.sip.headers import MAGIC_COOKIE, NameAddr, SipUri, Via, bracketed
from gateway.sip.message import Headers, Message, Request, Response, parse, serialise

MAX_DIALOGS = (
    65_536  # Call-IDs remembered, the longest silent forgotten first; of a process four at most are in use
)
MAX_LEGS = 1_024  # legs of which more is known, the oldest forgotten first
OURS = "ht"  # behind the cookie of a branch: ours
_BRANCH = re.compile(rf"{MAGIC_COOKIE}{OURS}(\d{{1,4}})-(\d{{1,5}})-(.+)", re.ASCII)

Place = tuple[str, int]


@dataclass(slots=True)
class _Opening:
    """An INVITE from outside that has no final response yet."""

    invite: Request
    source: Hop
    seat: int
    heard: bool = False  # the process has answered something


class Forwarder:
    """`here` is what the trunk knows us by, `inside` where the processes send to. `choose` names a process with room."""

    def __init__(
        self,
        here: Hop,
        inside: Place,
        choose: Callable[[], int | None],
        secret: str,
        proxies: dict[str, Hop] | None = None,
        password: str = "",
        referring: Referring | None = None,
    ) -> None:
        self._here, self._inside, self._choose, self._secret = here, inside, choose, secret
        self._password, self._referring = password, referring
        self._referred: OrderedDict[str, None] = (
            OrderedDict()
        )  # legs to the practice that handed their calls on
        self._lines: OrderedDict[str, int] = OrderedDict()  # of media, in the newest offer of a leg
        self._proxies = proxies or {}  # by `host:port` of a URI: where requests go that begin something
        self._dialogs: OrderedDict[str, tuple[int, str]] = (
            OrderedDict()
        )  # by Call-ID: process, and transport outside
        self._calls: dict[str, int] = {}  # of these, calls that came from outside and are not over
        self._standing: set[str] = set()  # of these, answered
        self._openings: dict[str, _Opening] = {}  # of these, not answered
        self._farewells = Farewells(f"{bracketed(here.host)}:{here.port}")
        self._record_route = f"<sip:{inside[0]}:{inside[1]};lr>"

    def load(self, seat: int) -> int:
        """How many calls a process has been given that are not over."""
        return sum(1 for taken in self._calls.values() if taken == seat)

    def over(self, call_id: str) -> None:
        """A call has ended; what still comes of its dialog is forwarded."""
        self._calls.pop(call_id, None)
        self._standing.discard(call_id)
        self._openings.pop(call_id, None)

    def unanswered(self, call_id: str) -> list[Effect]:
        """So long after a call was given to a process: where it said nothing, it could not read the INVITE."""
        opening = self._openings.get(call_id)
        if opening is None or opening.heard:
            return []
        return [Dropped("unread"), *self._fail(call_id, opening)]

    def _fail(self, call_id: str, opening: _Opening) -> list[Effect]:
        self.over(call_id)
        self._dialogs.pop(call_id, None)
        return self._answer(opening.invite, opening.source, 500, "Server Internal Error")

    def seat_lost(self, seat: int) -> list[Effect]:
        """A process is gone, and its dialogs with it: their peers are told."""
        left: list[Effect] = []
        for call_id, opening in [each for each in self._openings.items() if each[1].seat == seat]:
            left += self._fail(call_id, opening)
        for call_id in [name for name, (taken, _) in self._dialogs.items() if taken == seat]:
            if leave := self._farewells.take(call_id):
                left += self._leave(leave, call_id)
            del self._dialogs[call_id]
            self.over(call_id)
        return left

    def _leave(self, request: Request, call_id: str) -> list[Effect]:
        routes = request.headers.all("Route")
        uri = NameAddr.parse(routes[0]).uri if routes else request.uri
        try:
            placed = request.headers.get("Via") is not None  # it belongs to an INVITE that began something
            hop = self._next_hop(uri, call_id, placed and not routes)
            hop = replace(hop, transport=request.via.transport.lower()) if placed else hop
        except BadMessage as error:
            return [Dropped(error.kind)]
        return [ToOutside(hop, serialise(self._farewells.sent_by(hop.transport, request)))]

    def from_outside(self, data: bytes, source: Hop) -> list[Effect]:
        """What the trunk or a phone sent."""
        request: Request | None = None
        try:
            message = parse(data)
            if isinstance(message, Response):
                return self._response_in(message)
            request = message
            return self._request_in(message, source)
        except BadMessage as error:
            request = request or error.request
            refused: list[Effect] = [Dropped(error.kind)]
            with suppress(BadMessage):  # it may be its Via that cannot be read
                refused += self._answer(request, source, error.status, error.reason) if request else []
            return refused

    def from_inside(self, data: bytes, seat: int) -> list[Effect]:
        """What a process sent."""
        try:
            message = parse(data)
            told = _description(message)
            if isinstance(message, Response):
                return [*told, *self._response_out(message)]
            return [*told, *self._request_out(message, seat)]
        except BadMessage as error:
            return [Dropped(error.kind)]

    def _request_in(self, request: Request, source: Hop) -> list[Effect]:
        if request.method == "REFER" and self._referring:
            return self._refer(request, source, self._referring)
        if request.method not in FORWARDED:
            return self._answer(request, source, 405, "Method Not Allowed")
        call_id = request.headers.get("Call-ID") or ""
        within = NameAddr.parse(request.headers.get("To") or "").tag is not None
        seat, _ = self._dialogs.get(call_id, (None, ""))
        begins = seat is None and request.method == "INVITE" and not within
        if request.method == "OPTIONS" and (not within or self._farewells.stands(call_id)):
            return self._answer(request, source, 200, "OK")
        if seat is None and not begins:
            return self._unknown(request, source)
        if (hops := forwards(request)) <= 0:
            return self._answer(request, source, 483, "Too Many Hops")
        safe = screened(request)
        assert isinstance(safe, Request)
        if request.method == "INFO" and not safe.body:
            return self._answer(request, source, 200, "OK")
        self._keep_lines(call_id, safe)
        moved = self._moved(safe, request, source, hops - 1)
        if seat is None and (seat := self._choose()) is None:
            return self._answer(request, source, 486, "Busy Here")
        self._remember(call_id, seat, source.transport)
        self._farewells.heard(request, outward=False)
        if not begins:
            return [ToSeat(seat, moved)]
        self._calls[call_id] = seat
        self._openings[call_id] = _Opening(request, source, seat)
        return [Given(call_id, request), ToSeat(seat, moved)]

    def _refer(self, request: Request, source: Hop, referring: Referring) -> list[Effect]:
        """The practice may hand on its calls; nobody else may have anybody called."""
        call_id = request.headers.get("Call-ID") or ""
        leave = self._farewells.leaving(call_id)
        if call_id in self._calls:
            return self._answer(request, source, 405, "Method Not Allowed")
        if leave is None or leave.method != "BYE":
            return self._unknown(request, source)
        target = referring.target(request)
        accepted = self._answer(request, source, 202, "Accepted")
        if call_id in self._referred:  # it was sent again
            return accepted
        self._referred[call_id] = None
        if len(self._referred) > MAX_LEGS:
            self._referred.popitem(last=False)
        return [Referred(call_id, target), *accepted]

    def _keep_lines(self, call_id: str, safe: Request) -> None:
        """An offer has no fewer lines than the one before (RFC 3264 section 8), or pjsip ends; nor has an UPDATE more,
        which it does not always survive. Raises BadMessage."""
        lines = count(safe.body) if safe.method in OFFERING else 0
        if not lines:
            return
        before = self._lines.get(call_id, 0)
        if lines < before or (safe.method == "UPDATE" and before and lines != before):
            raise BadMessage(488, "the description has other media than the one before", "other_lines")
        self._lines[call_id] = lines
        self._lines.move_to_end(call_id)
        if len(self._lines) > MAX_LEGS:
            self._lines.popitem(last=False)

    def _moved(self, safe: Request, request: Request, source: Hop, hops: int) -> bytes:
        """Ready for a process. Raises BadMessage where it is too large for one."""
        stamped = request.via.stamped((source.host, source.port or 0))
        back = f"{source.transport}_{source.host.replace(':', '-')}_{source.port}"
        vias = packed((str(stamped), *request.headers.all("Via")[1:]))
        place = f"{self._inside[0]}:{self._inside[1]}"
        fields = [("Via", f"SIP/2.0/UDP {place};branch={self._branch(request)};back={back};vias={vias}")]
        if request.method == "INVITE":
            fields += [("Record-Route", self._record_route), *caller_field(request)]
        headers = without_own_route(safe.headers, self._here.host, self._here.port)
        data = serialise(replace(safe, headers=with_forwards(Headers((*fields, *headers.fields)), hops)))
        fits(data)
        return data

    def _unknown(self, request: Request, source: Hop) -> list[Effect]:
        """Of a call that no process has."""
        if request.method == "ACK":
            return [Dropped("unknown_dialog")]
        return self._answer(request, source, 481, "Call/Transaction Does Not Exist")

    def _response_in(self, answer: Response) -> list[Effect]:
        vias = answer.headers.all("Via")
        if Via.parse(vias[0]).branch.startswith(LEAVING):
            return []
        if crossed := self._farewells.crossed(answer):
            return [each for request in crossed for each in self._leave(request, "")]
        self._farewells.heard(answer, outward=False)
        found = _BRANCH.fullmatch(Via.parse(vias[0]).branch)
        if not found:
            return [Dropped("not_our_response")]
        seat, port, branch = found.groups()
        safe = screened(understood(answer))
        via = f"SIP/2.0/UDP {self._inside[0]}:{port};rport;branch={branch}"
        headers = with_list(safe.headers, "Via", (via,))
        if answer.cseq.method == "BYE" and (answer.headers.get("Call-ID") or "") in self._referred:
            headers = with_list(headers, "CSeq", (f"{answer.cseq.number - 1} {answer.cseq.method}",))
        if answer.cseq.method == "INVITE":
            routes = (*headers.all("Record-Route"), self._record_route)
            headers = with_list(headers, "Record-Route", routes)
        data = serialise(replace(safe, headers=headers))
        fits(data)
        taken: list[Effect] = (
            [Answered(answer)] if answer.cseq.method == "INVITE" and answer.status < 300 else []
        )
        return [*taken, ToSeat(int(seat), data)]

    def _request_out(self, request: Request, seat: int) -> list[Effect]:
        call_id = request.headers.get("Call-ID") or ""
        routes = request.headers.all("Route")
        if routes and self._is_inside(routes[0]):
            routes = routes[1:]
        begins = NameAddr.parse(request.headers.get("To") or "").tag is None and not routes
        hop = self._next_hop(NameAddr.parse(routes[0]).uri if routes else request.uri, call_id, begins)
        if request.method == "INVITE":
            self._remember(call_id, seat, hop.transport)
        told, request = self._released(request, call_id)
        host = bracketed(self._here.host)
        # The process's own Via would tell the trunk of ports of loopback; it is put back together from the branch.
        branch = f"{MAGIC_COOKIE}{OURS}{seat}-{request.via.port}-{request.via.branch}"
        via = f"SIP/2.0/{hop.transport.upper()} {host}:{self._here.port};rport;branch={branch}"
        headers = with_list(honest(request.headers, bool(self._referring)), "Route", routes)
        headers = with_list(headers, "Via", (via, *request.headers.all("Via")[1:]))
        if request.method == "REGISTER":
            headers = with_list(headers, "Contact", tuple(map(plain, headers.all("Contact"))))
        sent = replace(request, headers=with_forwards(headers, forwards(request) - 1))
        sent = answered(sent, self._password)
        self._farewells.heard(sent, outward=True)
        return [*told, ToOutside(hop, serialise(sent))]

    def _released(self, request: Request, call_id: str) -> tuple[list[Effect], Request]:
        """Who handed a call on is told that it is done before it gets its BYE, which has the number after that NOTIFY's."""
        if request.method != "BYE" or call_id not in self._referred:
            return [], request
        number = request.cseq.number
        contact = f"<sip:{bracketed(self._here.host)}:{self._here.port}>"
        leave = self._farewells.leaving(call_id)  # none: the BYE is sent again
        told = self._leave(notify(leave, number, contact), call_id) if leave else []
        return told, replace(request, headers=with_list(request.headers, "CSeq", (f"{number + 1} BYE",)))

    def _response_out(self, answer: Response) -> list[Effect]:
        params = dict(answer.via.params)
        vias = unpacked(params.get("vias") or "")
        back = (params.get("back") or "").split("_")
        if not vias or len(back) != 3 or not back[2].isdecimal():
            return [Dropped("not_our_response")]
        peer = (back[1].replace("-", ":") if back[1].count("-") > 1 else back[1], int(back[2]))
        counted: list[Effect] = []
        if answer.cseq.method == "INVITE":
            self._follow(answer.headers.get("Call-ID") or "", answer.status)
            counted = [Dropped("failed")] if answer.status == 500 else []
        headers = with_list(honest(answer.headers), "Via", vias)
        routes = tuple(route for route in headers.all("Record-Route") if not self._is_inside(route))
        headers = with_list(headers, "Record-Route", routes)
        place = Via.parse(vias[0]).reply_to(peer) if back[0] == "udp" else peer
        self._farewells.heard(replace(answer, headers=headers), outward=True)
        sent = serialise(replace(answer, headers=headers))
        return [*counted, ToOutside(Hop(back[0], *place), sent, back=True)]

    def _follow(self, call_id: str, status: int) -> None:
        """A call that a process refuses was never one of its calls."""
        if status < 200:
            if opening := self._openings.get(call_id):
                opening.heard = True
            return
        self._openings.pop(call_id, None)
        if status < 300:
            self._standing.add(call_id)
        elif call_id not in self._standing:
            self.over(call_id)

    def _next_hop(self, uri: str, call_id: str, begins: bool) -> Hop:
        """A URI that names no transport is reached by that of its dialog, else by UDP (RFC 3263 section 4.1)."""
        found = SipUri.parse(uri)
        known = self._dialogs.get(call_id)
        place = f"{found.host}:{found.port}" if found.port else found.host
        if begins and (proxy := self._proxies.get(place.lower())):
            return proxy
        said = (dict(found.params).get("transport") or "").lower()
        transport = said if said in ("udp", "tcp") else known[1] if known else "udp"
        return Hop(transport, found.host.strip("[]"), found.port)

    def _is_inside(self, route: str) -> bool:
        return route.startswith(f"<sip:{self._inside[0]}:{self._inside[1]};")

    def _remember(self, call_id: str, seat: int, transport: str) -> None:
        self._dialogs[call_id] = self._dialogs.get(call_id, (seat, transport))
        self._dialogs.move_to_end(call_id)
        while len(self._dialogs) > MAX_DIALOGS:
            forgotten = next(name for name in self._dialogs if name not in self._calls)
            del self._dialogs[forgotten]

    def _branch(self, request: Request) -> str:
        """The same for what is sent again, for the CANCEL of an INVITE and the ACK of its refusal (section 16.11)."""
        source = f"{self._secret} {request.via.branch} {request.via.host} {request.headers.get('Call-ID')}"
        if not request.via.branch.startswith(MAGIC_COOKIE):
            source += f" {request.cseq.number}"
        return (
            MAGIC_COOKIE + OURS + hashlib.sha256(source.encode("utf-8", "surrogateescape")).hexdigest()[:24]
        )

    def _answer(self, request: Request, source: Hop, status: int, reason: str) -> list[Effect]:
        """At once, without a process."""
        if request.method == "ACK":
            return []
        peer = (source.host, source.port or 0)
        headers = request.headers.with_first("Via", str(request.via.stamped(peer)))
        answer = response(
            replace(request, headers=headers), status, self._branch(request)[-12:], ALLOW, reason=reason
        )
        place = request.via.reply_to(peer) if source.transport == "udp" else peer
        counted: list[Effect] = [Dropped("busy")] if status == 486 else []
        return [*counted, ToOutside(Hop(source.transport, *place), serialise(answer), back=True)]


def _description(message: Message) -> list[Effect]:
    if not message.body or media_type(message.headers) != "application/sdp":
        return []
    return [
        Description(message.headers.get("Call-ID") or "", message.body.decode("utf-8", "surrogateescape"))
    ]
