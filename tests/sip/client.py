"""A peer of the user agent server: it writes requests, reads what comes back, and lets time pass."""

from __future__ import annotations

from itertools import count

from gateway.sip.answers import Profile
from gateway.sip.effects import Effect, Flow, HungUp, Rejected, Send
from gateway.sip.message import Request, Response, parse
from gateway.sip.server import UserAgentServer

UDP = Flow("udp", ("192.0.2.2", 5060), ("192.0.2.1", 5060))
TCP = Flow("tcp", ("192.0.2.2", 33000), ("192.0.2.1", 5060), connection=7)
MAX_DIALOGS = 4


class Client:
    """A peer of the server that writes requests and reads what comes back."""

    def __init__(self, flow: Flow = UDP) -> None:
        numbers = count()
        self.flow, self.now, self.branch = flow, 0.0, 0
        self.server = UserAgentServer(
            token=lambda: f"token{next(numbers)}",
            profile=Profile(options=("siprec",), contact_params=";+sip.srs"),
            max_message_bytes=65_535,
            max_dialogs=MAX_DIALOGS,
        )
        self.tag = ""
        self.effects: list[Effect] = []

    def request(
        self, method: str, cseq: int, *extra: str, branch: str = "", uri: str = "sip:srs@192.0.2.1",
        body: bytes = b"", call: str = "call", tag: str | None = None,
    ) -> bytes:  # fmt: skip
        self.branch += not branch
        tag = self.tag if tag is None else tag
        lines = [
            f"{method} {uri} SIP/2.0",
            f"Via: SIP/2.0/{self.flow.transport.upper()} 192.0.2.2;branch={branch or f'z9hG4bK{self.branch}'}",
            "From: <sip:src@192.0.2.2>;tag=peer",
            "To: <sip:srs@192.0.2.1>" + (f";tag={tag}" if tag else ""),
            f"Call-ID: {call}",
            f"CSeq: {cseq} {method}",
            "Contact: <sip:src@192.0.2.2:5070>",
            *extra,
            f"Content-Length: {len(body)}",
        ]
        return "\r\n".join([*lines, "", ""]).encode() + body

    def give(self, data: bytes, at: float | None = None) -> list[Effect]:
        self.now = self.now if at is None else at
        return self.keep(self.server.receive(data, self.flow, self.now))

    def keep(self, effects: list[Effect]) -> list[Effect]:
        self.effects += effects
        for effect in effects:
            if isinstance(effect, Send) and isinstance(answer := parse(effect.data), Response):
                self.tag = (answer.headers.get("To") or "").partition(";tag=")[2]
        return effects

    def run(self, until: float) -> list[tuple[float, str]]:
        """Let the timers fire; what was sent or told, and when."""
        seen = []
        while (at := self.server.next_timer()) is not None and at <= until:
            self.now = at
            seen += [(round(at, 3), name) for name in names(self.keep(self.server.handle_timer(at)))]
        self.now = until
        return seen

    def establish(self) -> None:
        self.give(self.request("INVITE", 1, branch="z9hG4bKinvite"))
        self.keep(self.server.respond(1, 200, self.now, body=b"sdp"))
        self.give(self.request("ACK", 1))


def names(effects: list[Effect]) -> list[str]:
    """Effects as words: the status or method sent, the fact told."""
    words = []
    for effect in effects:
        match effect:
            case Send(data):
                message = parse(data)
                words.append(message.method if isinstance(message, Request) else str(message.status))
            case Rejected(kind):
                words.append(kind)
            case HungUp(_, cause):
                words.append(f"hung up: {cause}")
            case _:
                words.append(type(effect).__name__)
    return words


def answer(effects: list[Effect]) -> Response:
    sent = [parse(effect.data) for effect in effects if isinstance(effect, Send)]
    assert isinstance(sent[0], Response)
    return sent[0]
