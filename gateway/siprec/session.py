"""Recording sessions (RFC 7866): the session recording server's side, on top of a SIP user agent server.

Act on the effects of each call, in order, before the next call. Times are float seconds of one monotonic clock.
Every Offered is followed by exactly one Ended, whatever happens to it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from gateway.sip import effects as sip
from gateway.sip import sdp
from gateway.sip.access import Access
from gateway.sip.answers import ALLOW, Fields, Profile, retry_after
from gateway.sip.effects import Flow, Rejected, Send
from gateway.sip.errors import BadMessage
from gateway.sip.message import Request
from gateway.sip.server import UserAgentServer
from gateway.sip.session_timer import Policy
from gateway.siprec.body import METADATA_TYPES, Contents, read
from gateway.siprec.bridge import Pair, pair_of
from gateway.siprec.dtmf import DtmfError, key_of
from gateway.siprec.effects import (
    Changed,
    Effect,
    Ended,
    Established,
    KeyPressed,
    Offered,
    Probed,
    SessionId,
    Stream,
)
from gateway.siprec.metadata import Metadata, merge
from gateway.siprec.multipart import MultipartError
from gateway.siprec.wishes import Wishes, nobody_wishes

SRS = Profile(
    accepts=("application/sdp", *METADATA_TYPES, "multipart/mixed"),
    options=("siprec", "timer"),
    contact_params=";+sip.srs",  # RFC 7866 section 6.2
)
MAX_LINES = 2  # offered to a client that makes no offer: the two legs of a call
ENDING_RESERVE = 2  # dialogs a session, since one that ended still exchanges its BYE for up to 32 s


@dataclass(slots=True)
class _Session:
    sdp_id: int
    metadata: Metadata | None = None
    offer: sdp.SessionDescription | None = None  # that waits for an answer
    negotiated: sdp.SessionDescription | None = None  # what was last answered
    ports: Sequence[int | None] = ()  # ours, of its lines
    address: str = ""
    ours: bool = False  # the offer is ours: its answer comes with the ACK
    version: int = 0
    local: bytes = b""  # our description as last sent


class RecordingServer:
    """Sessions are made by INVITEs, whether or not they carry any mark of SIPREC."""

    def __init__(
        self, *, supported: sdp.Supported, token: Callable[[], str], max_message_bytes: int, max_sessions: int,
        access: Access | None = None, session_policy: Policy | None = None, wish: Wishes = nobody_wishes,
    ) -> None:  # fmt: skip
        self._wish = wish
        self._supported = supported
        self._token = token
        self._secret = ""
        self._max_sessions = max_sessions
        self._sessions: dict[SessionId, _Session] = {}
        self._agent = UserAgentServer(
            token=token,
            profile=SRS,
            max_message_bytes=max_message_bytes,
            max_dialogs=ENDING_RESERVE * max_sessions,
            access=access,
            session_policy=session_policy,
        )

    def receive(self, data: bytes, flow: Flow, now: float) -> list[Effect]:
        """One whole message: a UDP datagram or a framed TCP message."""
        return self._translate(self._agent.receive(data, flow, now), now)

    def reject(self, error: BadMessage, flow: Flow) -> list[Effect]:
        """Count and, where possible, answer what a stream framer raised; the connection is then to be closed."""
        return self._translate(self._agent.reject(error, flow), 0.0)

    def connection_lost(self, connection: int, now: float) -> list[Effect]:
        """Ends what was not answered; running sessions go on until the client comes back or media stops."""
        return self._translate(self._agent.connection_lost(connection, now), now)

    def carries(self, connection: int) -> bool:
        """Whether a session runs on a TCP connection, be it another than the one it began on."""
        return self._agent.carries(connection)

    def admits(self, host: str) -> bool:
        """Whether a host may speak to us; what others send is answered shortly or not at all."""
        return self._agent.stateless.admits(host)

    def busy(self, retry_seconds: int | None) -> None:
        """What OPTIONS is answered from now on: 503 with this Retry-After, or 200."""
        self._agent.stateless.busy_seconds = retry_seconds

    def timed(self, session: SessionId) -> bool:
        """Whether a session timer (RFC 4028) ends this session when the client is gone."""
        return self._agent.timed(session)

    def probe(self, session: SessionId, now: float) -> list[Effect]:
        """Ask the client whether it still knows a session; Probed follows, at once or within 32 s."""
        return self._translate(self._agent.probe(session, now), now)

    def next_timer(self) -> float | None:
        return self._agent.next_timer()

    def handle_timer(self, now: float) -> list[Effect]:
        return self._translate(self._agent.handle_timer(now), now)

    def sessions(self) -> int:
        """How many sessions have not ended."""
        return len(self._sessions)

    def answer(
        self, session: SessionId, ports: Sequence[int | None], address: str, now: float
    ) -> list[Effect]:
        """Answer the offer that waits, with a port for each of its m-lines; None or 0 refuses that line.

        An offer of which no line can be taken is refused with 488, which ends a session that was not answered
        before. Nothing happens when no offer waits.
        """
        state = self._sessions.get(session)
        if state is None or state.offer is None or not self._agent.waiting(session):
            return []
        offer, state.offer = state.offer, None
        usable = any(
            port and media.accepted(self._supported) for port, media in zip(ports, offer.media, strict=True)
        )
        closing = state.local and not any(media.port for media in offer.media)
        if not usable and not closing:
            return self._respond(session, 488, now, _warning(), cause="no_acceptable_media")
        self._describe(session, state, offer, ports, address)
        return self._respond(session, 200, now, body=state.local)

    def _describe(
        self,
        session: SessionId,
        state: _Session,
        offer: sdp.SessionDescription,
        ports: Sequence[int | None],
        address: str,
    ) -> None:
        """Make our description of this offer the one that holds."""
        secret = partial(self._own_key, session)
        local = sdp.answer(offer, self._supported, ports, address, state.sdp_id, state.version, secret)
        if local != state.local:
            # RFC 3264 section 8: the version counts the changes, and only them.
            state.version += 1
            local = sdp.answer(offer, self._supported, ports, address, state.sdp_id, state.version, secret)
        state.local, state.negotiated, state.ports, state.address = local, offer, ports, address

    def _own_key(self, session: SessionId, line: int, size: int) -> bytes:
        """The key an answer must name, though nothing is ever sent under it: the same in every answer."""
        self._secret = self._secret or self._token()
        return hashlib.shake_256(f"{self._secret} {session} {line}".encode()).digest(size)

    def refuse(
        self, session: SessionId, status: int, reason: str, now: float, retry_after: int | None = None
    ) -> list[Effect]:
        """Refuse the offer that waits: a first one ends the session, a later one leaves it as it was."""
        fields = () if retry_after is None else (("Retry-After", str(retry_after)),)
        if session in self._sessions:
            self._sessions[session].offer = None
        return self._respond(session, status, now, fields, reason=reason)

    def end(self, session: SessionId, now: float, reason: str) -> list[Effect]:
        """Hang up: 480 before the answer, BYE after. `reason` becomes the cause in Ended."""
        return self._translate(self._agent.hang_up(session, reason, now), now)

    def _translate(self, effects: list[sip.Effect], now: float) -> list[Effect]:
        out: list[Effect] = []
        for effect in effects:
            match effect:
                case Send() | Rejected():
                    out.append(effect)
                case sip.Invited(dialog, request, flow):
                    out += self._invited(SessionId(dialog), request, flow, now)
                case sip.Modified(dialog, request):
                    out += self._modified(SessionId(dialog), request, now)
                case sip.Acknowledged(dialog, request, first):
                    out += [Established(SessionId(dialog))] if first else []
                    out += self._acknowledged(SessionId(dialog), request)
                case sip.Informed(dialog, request):
                    out += self._informed(SessionId(dialog), request)
                case sip.Probed(dialog, alive):
                    out.append(Probed(SessionId(dialog), alive))
                case sip.HungUp(dialog, cause):
                    out += self._ended(SessionId(dialog), cause)
        return out

    def _ended(self, session: SessionId, cause: str) -> list[Effect]:
        known = self._sessions.pop(session, None)
        return [Ended(session, cause)] if known else []

    def _informed(self, session: SessionId, request: Request) -> list[Effect]:
        if session not in self._sessions:
            return []
        wish = self._wish(request)
        wished: list[Effect] = [Changed(session, None, None, (), False, wish)] if wish else []
        try:
            told = key_of(request)
        except DtmfError:
            return [*wished, Rejected("bad_info")]
        return [*wished, *([KeyPressed(session, *told)] if told else [])]

    def _invited(self, session: SessionId, request: Request, flow: Flow, now: float) -> list[Effect]:
        if len(self._sessions) >= self._max_sessions:
            return [Rejected("overload"), *self._respond(session, 503, now, retry_after())]
        try:
            contents = read(request)
        except (sdp.SdpError, MultipartError):
            return [Rejected("bad_body"), *self._respond(session, 400, now)]
        call_id = hashlib.sha256((request.headers.get("Call-ID") or "").encode("utf-8", "surrogateescape"))
        pair = pair_of(request) if contents.metadata is None else None
        metadata = pair.metadata if pair else contents.metadata
        offer = contents.offer or sdp.wanted(_labels(metadata, pair), self._supported)
        self._sessions[session] = _Session(int(session), metadata, offer, ours=contents.offer is None)
        streams = self._streams(offer)
        identity, wish = call_id.hexdigest()[:16], self._wish(request)
        return [Offered(session, identity, streams, metadata, contents.notes, flow, wish, pair)]

    def _modified(self, session: SessionId, request: Request, now: float) -> list[Effect]:
        state = self._sessions[session]
        try:
            contents = read(request)
        except (sdp.SdpError, MultipartError):
            return [Rejected("bad_body"), *self._respond(session, 400, now)]
        if contents.metadata:
            state.metadata = merge(state.metadata, contents.metadata)
        elif (pair := pair_of(request)) and state.metadata:
            state.metadata = pair.metadata
        wish = self._wish(request)
        if contents.offer and state.local and not self._takes(contents.offer):
            # RFC 3261 section 14.1: what is refused changes nothing of the media.
            refused = self._respond(session, 488, now, _warning())
            return [Changed(session, None, state.metadata, contents.notes, False, wish), *refused]
        state.offer, state.ours = contents.offer, False
        streams = self._streams(contents.offer) if contents.offer else None
        changed = Changed(session, streams, state.metadata, contents.notes, contents.offer is not None, wish)
        if contents.offer:
            return [changed]
        body = b""
        if request.method == "INVITE" and state.negotiated:
            # RFC 3261 section 14.2, RFC 6337 section 5.3: our offer is all we can do, so that a hold can end by it.
            self._describe(session, state, sdp.open_again(state.negotiated), state.ports, state.address)
            body, state.ours = state.local, True
        return [changed, *self._respond(session, 200, now, body=body)]

    def _takes(self, offer: sdp.SessionDescription) -> bool:
        """Whether a line can be recorded, or all are closed."""
        closed = not any(media.port for media in offer.media)
        return closed or any(media.accepted(self._supported) for media in offer.media)

    def _acknowledged(self, session: SessionId, request: Request) -> list[Effect]:
        """The ACK to our offer brings the answer."""
        state = self._sessions.get(session)
        if state is None or not state.ours or state.negotiated is None:
            return []
        state.ours = False
        try:
            contents = read(request)
        except (sdp.SdpError, MultipartError):
            contents = Contents(None, None, ("the answer to the gateway's offer cannot be read",))
        if contents.metadata:
            state.metadata = merge(state.metadata, contents.metadata)
        notes, streams = contents.notes, None
        if contents.offer:
            streams = self._streams(sdp.completed(contents.offer, state.negotiated))
        else:
            notes = (*notes, "the ACK brought no answer to the gateway's offer")
        return [Changed(session, streams, state.metadata, notes, False)]

    def _streams(self, offer: sdp.SessionDescription) -> tuple[Stream, ...]:
        return tuple(self._stream(index, media) for index, media in enumerate(offer.media))

    def _stream(self, index: int, media: sdp.Media) -> Stream:
        formats = media.accepted(self._supported)
        remote = (media.address, media.port) if media.address and media.port else None
        events = tuple(format.payload_type for format in media.events())
        return Stream(
            index,
            media.label,
            media.kind,
            bool(formats),
            media.direction.value,
            remote,
            formats,
            events,
            media.ptime,
            tuple(format.clock_rate for format in media.events()),
            tuple(format.payload_type for format in media.noise()),
            media.crypto.keys if media.crypto else (),
            media.recordpref,
            named=() if media.kind == "audio" and any(map(self._known, media.formats)) else media.named(),
            redundant=tuple(format.payload_type for format in media.redundant()),
        )

    def _known(self, format: sdp.Format) -> bool:
        return self._supported(format.name, format.clock_rate, format.channels, format.fmtp or "")

    def _respond(
        self, session: SessionId, status: int, now: float, fields: Fields = (), body: bytes = b"",
        reason: str = "", cause: str = "refused",
    ) -> list[Effect]:  # fmt: skip
        if status < 300:
            fields = (*fields, *ALLOW, ("Supported", ", ".join(SRS.options)))
        if body:
            fields = (*fields, ("Content-Type", "application/sdp"))
        answered = self._agent.respond(
            session, status, now, fields=fields, body=body, reason=reason, cause=cause
        )
        return self._translate(answered, now)


def _labels(metadata: Metadata | None, pair: Pair | None) -> list[str]:
    """Of the lines to offer: what the metadata names, else one for each party; one side of a pair has one line."""
    if pair:
        return ["1"]
    labels = [stream.label for stream in metadata.streams if stream.label] if metadata else []
    return labels[:MAX_LINES] or ["1", "2"]


def _warning() -> Fields:
    """Section 20.43 of RFC 3261; 304 says that no media type offered is available."""
    return (("Warning", '304 hushtap "an audio stream this server can record must be offered"'),)
