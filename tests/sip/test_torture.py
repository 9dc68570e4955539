"""The torture messages of RFC 4475 and RFC 5118: what they are answered over UDP.

The samples are written down from the RFCs; their notation is {hex octets}, {text*count}, {L} for the length of
the body and {SDP address} for the description that most of them share. Long runs of Via are shortened.
"""

from __future__ import annotations

import re
from itertools import count
from pathlib import Path

import pytest

from gateway.sip.effects import Flow, Send
from gateway.siprec.effects import Offered
from gateway.siprec.session import RecordingServer

SAMPLES = Path(__file__).parent / "samples"
FLOW = Flow("udp", ("192.0.2.20", 5060), ("192.0.2.10", 5060))
IGNORED = None  # a response to nothing that was asked, or one that cannot be read
CALL = 100  # an INVITE that becomes a recording session, which waits for its answer

# Registering and messaging are not taken: such requests are refused by method, whatever else is odd about them.
NO_SUCH_METHOD = 405

RFC_4475 = {
    "wsinv": 481,  # valid; its To has the tag of a dialog that is not there
    "intmeth": NO_SUCH_METHOD,
    "esc01": CALL,
    "escnull": NO_SUCH_METHOD,
    "esc02": NO_SUCH_METHOD,
    "lwsdisp": 200,
    "longreq": CALL,
    "dblreq": NO_SUCH_METHOD,  # once: what follows the first message of a datagram is discarded
    "semiuri": 200,
    "transports": 200,
    "mpart01": NO_SUCH_METHOD,
    "unreason": IGNORED,
    "noreason": IGNORED,
    "badinv01": 400,
    "clerr": 400,
    "ncl": 400,
    "scalar02": 400,
    "scalarlg": IGNORED,
    "quotbal": CALL,  # the RFC prefers 400 and allows to infer the quote; a display name is not worth a recording
    "ltgtruri": 400,
    "lwsruri": 400,
    "lwsstart": CALL,  # 400 or tolerance, says the RFC
    "trws": 200,  # 400 or tolerance
    "escruri": CALL,  # 400, or the escaped header is ignored, as it is here
    "baddate": CALL,  # 400, or the Date is ignored, as it is here
    "regbadct": NO_SUCH_METHOD,
    "badaspec": 200,  # 400 or tolerance
    "baddn": 200,  # 400 or tolerance
    "badvers": 505,
    "mismatch01": 400,
    "mismatch02": 400,  # 400 or 501
    "bigcode": IGNORED,
    "badbranch": 200,
    "insuf": 400,
    "unkscm": 416,
    "novelsc": 416,
    "unksm2": NO_SUCH_METHOD,
    "bext01": 420,
    "invut": 415,
    "regaut01": NO_SUCH_METHOD,
    "multi01": 400,
    "mcl01": 400,
    "bcast": IGNORED,
    "zeromf": 200,  # the request has reached its end: nothing is forwarded
    "cparam01": NO_SUCH_METHOD,
    "cparam02": NO_SUCH_METHOD,
    "regescrt": NO_SUCH_METHOD,
    # The RFC expects 406. Recording clients name in Accept only what they accept besides SDP, so it is not held
    # against them.
    "sdp01": CALL,
    "inv2543": CALL,
}

RFC_5118 = {
    "ipv6-good": NO_SUCH_METHOD,
    "ipv6-bad": NO_SUCH_METHOD,
    "port-ambiguous": NO_SUCH_METHOD,
    "port-unambiguous": NO_SUCH_METHOD,
    "via-received-param-with-delim": 481,
    "via-received-param-no-delim": 200,
    "ipv6-in-sdp": CALL,
    "mult-ip-in-header": 481,
    "mult-ip-in-sdp": CALL,
    "ipv4-mapped-ipv6": CALL,
    "ipv6-bug-abnf-3-colons": 200,
}


def messages(name: str) -> dict[str, bytes]:
    text = (SAMPLES / f"{name}.txt").read_text(encoding="ascii")
    pieces = text.split("#### ")[1:]
    return {title: written(body) for title, _, body in (piece.partition("\n") for piece in pieces)}


def written(text: str) -> bytes:
    """The octets that a sample stands for."""
    description = (
        r"v=0\no=mhandley 29739 7272939 IN IP4 \1\ns=-\nc=IN IP4 \1\nt=0 0\n"
        r"m=audio 49217 RTP/AVP 0 12\nm=video 3227 RTP/AVP 31\na=rtpmap:31 LPC"
    )
    text = re.sub(r"\{SDP ([\d.]+)\}", description, text)
    text = re.sub(r"\{(\w+)\*(\d+)\}", lambda found: found[1] * int(found[2]), text)
    data = re.sub(
        rb"\{((?:[0-9A-F]{2})+)\}",
        lambda found: bytes.fromhex(found[1].decode()),
        text.replace("\n", "\r\n").encode(),
    )
    head, _, body = data.partition(b"\r\n\r\n")
    return head.replace(b"{L}", b"%d" % len(body)) + b"\r\n\r\n" + body


def server() -> RecordingServer:
    numbers = count()
    return RecordingServer(
        supported=lambda name, rate, *_: (name, rate) == ("PCMU", 8000),
        token=lambda: f"token{next(numbers)}",
        max_message_bytes=65_535,
        max_sessions=3,
    )


def answered(data: bytes) -> int | None:
    """The status of the only answer to a datagram."""
    machine = server()
    effects = machine.receive(data, FLOW, 0)
    statuses = []
    for effect in effects:
        if isinstance(effect, Send):
            version, status, _ = effect.data.split(b" ", 2)
            assert version == b"SIP/2.0"
            statuses.append(int(status))
    offered = [effect for effect in effects if isinstance(effect, Offered)]
    assert (statuses == [CALL]) == bool(offered)
    for each in offered:
        machine.answer(each.session, [40_000] * len(each.streams), "192.0.2.10", 0)
    assert len(statuses) <= 1
    return statuses[0] if statuses else IGNORED


@pytest.mark.parametrize(
    ("name", "data", "status"),
    [
        pytest.param(name, data, expected[name], id=name)
        for source, expected in (("rfc4475", RFC_4475), ("rfc5118", RFC_5118))
        for name, data in messages(source).items()
    ],
)
def test_torture(name: str, data: bytes, status: int | None) -> None:
    assert answered(data) == status


def test_the_table_is_complete() -> None:
    assert messages("rfc4475").keys() == RFC_4475.keys()
    assert messages("rfc5118").keys() == RFC_5118.keys()
    assert (len(RFC_4475), len(RFC_5118)) == (49, 11)
