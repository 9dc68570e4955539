"""Traces of several calls, to be mixed: a challenge, forks and a hold; a delayed offer; a transfer; a proxy."""

from __future__ import annotations

from tests.tap.traces import message, sdp

Step = tuple[str, str, str, dict[str, object]]

TRANSFER = {
    "refer": ["Refer-To: <sip:303@example.org?Replaces=two%3Bto-tag%3Dc%3Bfrom-tag%3Dbb>"],
    "replaces": ["Replaces: two;to-tag=c;from-tag=bb"],
}
STORIES: list[list[Step]] = [
    [
        ("A>B", "INVITE", sdp("A", 4000), {}),
        ("B>A", "401 INVITE", "", {"tags": "a x"}),
        ("A>B", "ACK", "", {"tags": "a x"}),
        ("A>B", "INVITE", sdp("A", 4000), {"cseq": 2}),
        ("B>A", "183 INVITE", sdp("B", 5000), {"tags": "a b", "cseq": 2}),
        ("B>A", "183 INVITE", sdp("C", 5000), {"tags": "a c", "cseq": 2}),
        ("B>A", "200 INVITE", sdp("B", 5000), {"tags": "a b", "cseq": 2}),
        ("A>B", "ACK", "", {"tags": "a b", "cseq": 2, "via": "k"}),
        ("B>A", "REFER", "", {"tags": "b a", "cseq": 1, "fields": TRANSFER["refer"]}),
        ("B>A", "INVITE", sdp("B", 5002, "8", "sendonly"), {"tags": "b a", "cseq": 2}),
        ("A>B", "200 INVITE", sdp("A", 4000, "8", "recvonly"), {"tags": "b a", "cseq": 2}),
        ("B>A", "BYE", "", {"tags": "b a", "cseq": 3}),
        ("A>B", "200 BYE", "", {"tags": "b a", "cseq": 3}),
    ],
    [
        ("B>C", "INVITE", "", {"call": "two", "tags": "bb"}),
        ("C>B", "200 INVITE", sdp("C", 6000), {"call": "two", "tags": "bb c"}),
        ("B>C", "ACK", sdp("B", 5010), {"call": "two", "tags": "bb c", "via": "l"}),
        ("C>B", "BYE", "", {"call": "two", "tags": "c bb"}),
    ],
    [
        ("A>C", "INVITE", sdp("A", 4010), {"call": "three", "tags": "aa", "fields": TRANSFER["replaces"]}),
        ("C>A", "180 INVITE", "", {"call": "three", "tags": "aa cc"}),
        ("C>A", "200 INVITE", sdp("C", 6010), {"call": "three", "tags": "aa cc"}),
        ("A>C", "UPDATE", sdp("A", 4012), {"call": "three", "tags": "aa cc", "cseq": 2}),
        ("C>A", "491 UPDATE", "", {"call": "three", "tags": "aa cc", "cseq": 2}),
        ("C>A", "BYE", "", {"call": "three", "tags": "cc aa"}),
    ],
    [
        ("A>P", "INVITE", sdp("A", 4000), {"call": "four", "via": "1"}),
        ("P>B", "INVITE", sdp("A", 4000), {"call": "four", "via": "2 1"}),
        ("P>C", "INVITE", sdp("A", 4000), {"call": "four", "via": "3 1"}),
        ("B>P", "486 INVITE", "", {"call": "four", "via": "2 1", "tags": "a b"}),
        ("A>P", "CANCEL", "", {"call": "four", "via": "1"}),
        ("C>P", "487 INVITE", "", {"call": "four", "via": "3 1", "tags": "a c"}),
        ("P>A", "487 INVITE", "", {"call": "four", "via": "1", "tags": "a c"}),
        ("A>P", "ACK", "", {"call": "four", "via": "1", "tags": "a c"}),
    ],
    [
        ("A>B", "INVITE", sdp("A", 4000), {"call": "five"}),
        ("B>A", "200 INVITE", sdp("B", 5000), {"call": "five", "tags": "a b"}),
        ("B>A", "REFER", "", {"call": "five", "tags": "b a", "fields": ["Refer-To: <sip:404@example.org>"]}),
        ("B>A", "BYE", "", {"call": "five", "tags": "b a", "cseq": 2}),
        ("A>D", "INVITE", sdp("A", 4002), {"call": "six", "people": "101 404"}),
        ("A>B", "NOTIFY", "SIP/2.0 480 Gone", {"call": "five", "tags": "a b", "cseq": 2}),
        ("D>A", "200 INVITE", sdp("D", 6000), {"call": "six", "tags": "a d", "people": "101 404"}),
        ("D>A", "BYE", "", {"call": "six", "tags": "d a"}),
    ],
]


def messages() -> list[bytes]:
    """Each story's messages, one after the other."""
    return [b"\0\0\0\0".join(map(_message, story)) for story in STORIES]


def _message(step: Step) -> bytes:
    _, what, body, options = step
    defaults = {"tags": "a", "cseq": 1, "call": "one", "via": "", "fields": (), "people": "101 202"}
    return message(what, body, **(defaults | options))  # type: ignore[arg-type]
