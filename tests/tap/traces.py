"""Traces of SIP as a tap overhears them, a line a message, and what became of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from gateway.codecs.registry import supported
from gateway.siprec.wishes import Wishes, nobody_wishes
from gateway.tap.dialogs import Dialogs
from gateway.tap.effects import MediaAgreed, Over, Place, Seen, TapEffect, TappedId, TappedStream

SECOND = 1_000_000_000
STEP = SECOND // 10  # between two messages

# Hosts: telephones, a proxy, a trunk.
PLACES: dict[str, Place] = {
    "A": ("192.0.2.1", 5060), "B": ("192.0.2.2", 5060), "C": ("192.0.2.3", 5060),
    "D": ("192.0.2.4", 5060), "P": ("198.51.100.1", 5060), "Q": ("198.51.100.2", 5060),
}  # fmt: skip
PCMA = "8"
BOTH = "8 0"
MAPS = {"8": "PCMA/8000", "0": "PCMU/8000", "9": "G722/8000", "101": "telephone-event/8000", "13": "CN/8000"}

# The way of the call that `answered` gives: who speaks, and to where.
TALK = [("caller", PLACES["B"][0], 5000), ("callee", PLACES["A"][0], 4000)]

Kind = TypeVar("Kind")


def sdp(
    host: str, port: int, formats: str = PCMA, *extra: str, profile: str = "RTP/AVP", kind: str = "audio"
) -> str:
    """A description with one m-line; `extra` are attributes of it."""
    return "\r\n".join(["v=0", "o=- 1 1 IN IP4 192.0.2.9", "s=-", "t=0 0", *line(host, port, formats, *extra, profile=profile, kind=kind), ""])  # fmt: skip


def line(
    host: str, port: int, formats: str = PCMA, *extra: str, profile: str = "RTP/AVP", kind: str = "audio"
) -> list[str]:
    address = PLACES[host][0] if host in PLACES else host
    maps = [f"a=rtpmap:{number} {MAPS[number]}" for number in formats.split() if number in MAPS]
    return [
        f"m={kind} {port} {profile} {formats}",
        f"c=IN IP4 {address}",
        *maps,
        *(f"a={text}" for text in extra),
    ]


class Trace:
    """Feeds messages to a tap; `effects` is all that it gave."""

    def __init__(self, wish: Wishes = nobody_wishes, max_calls: int = 64) -> None:
        self.tap = Dialogs(supported=supported, wish=wish, max_calls=max_calls)
        self.now = SECOND
        self.number = 0
        self.effects: list[TapEffect] = []

    def __call__(
        self, way: str, what: str, body: str = "", *, tags: str = "a", cseq: int = 1, call: str = "one",
        via: str = "", fields: Sequence[str] = (), people: str = "101 202", wait: float = 0.1,
    ) -> list[TapEffect]:  # fmt: skip
        """`way` is like A>B, `what` like INVITE or 200 INVITE, `tags` From's and To's like "a b"."""
        self.now += round(wait * SECOND)
        self.number += 1
        source, destination = (PLACES[name] for name in way.split(">"))
        data = message(what, body, tags, cseq, call, via, fields, people)
        found = self.tap.heard(data, self.now, self.number, source, destination)
        self.effects += found
        return found

    def later(self, seconds: float) -> list[TapEffect]:
        self.now += round(seconds * SECOND)
        found = self.tap.expire(self.now)
        self.effects += found
        return found

    def silent(self, call: TappedId) -> list[TapEffect]:
        found = self.tap.silent(call, self.now)
        self.effects += found
        return found

    def of(self, kind: type[Kind]) -> list[Kind]:
        return [effect for effect in self.effects if isinstance(effect, kind)]

    def told(self) -> list[str]:
        """The effects' names, in order."""
        return [type(effect).__name__ for effect in self.effects]

    def streams(self) -> tuple[TappedStream, ...]:
        """As last agreed on."""
        return self.of(MediaAgreed)[-1].streams

    def ways(self) -> list[tuple[str, str | None, int]]:
        """Who speaks, and to where, as last agreed on."""
        return [(stream.side.value, *(stream.to if stream.to else (None, 0))) for stream in self.streams()]

    def ends(self) -> list[str]:
        return [over.how.value for over in self.of(Over)]

    def calls(self) -> list[Seen]:
        return self.of(Seen)


def message(
    what: str, body: str, tags: str, cseq: int, call: str, via: str, fields: Sequence[str], people: str
) -> bytes:
    first, _, rest = what.partition(" ")
    method = rest or first
    caller, callee = people.split(" ")
    from_tag, _, to_tag = tags.partition(" ")
    vias = (via or f"{call}-{from_tag}-{method}-{cseq}").split(" ")
    lines = [
        f"SIP/2.0 {first} Reason" if rest else f"{first} sip:{callee}@example.org SIP/2.0",
        *(f"Via: SIP/2.0/UDP host.example.org;branch=z9hG4bK{branch}" for branch in vias),
        f"From: <sip:{caller}@example.org>;tag={from_tag}",
        f"To: <sip:{callee}@example.org>" + (f";tag={to_tag}" if to_tag else ""),
        f"Call-ID: {call}",
        f"CSeq: {cseq} {method}",
        *fields,
    ]
    if body and not any(field.startswith("Content-Type") for field in fields):
        lines.append("Content-Type: application/sdp")
    return "\r\n".join([*lines, f"Content-Length: {len(body.encode())}", "", body]).encode()


def answered(people: str = "101 202") -> Trace:
    """A call from A to B that both speak in."""
    trace = Trace()
    trace("A>B", "INVITE", sdp("A", 4000), people=people)
    trace("B>A", "180 INVITE", tags="a b", people=people)
    trace("B>A", "200 INVITE", sdp("B", 5000), tags="a b", people=people)
    trace("A>B", "ACK", tags="a b", people=people)
    return trace
