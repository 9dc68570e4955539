"""What of a peer's message a process sees: what it needs, in one writing, and nothing by which pjsip could end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.endpoint.describing import described
from gateway.endpoint.screening import MAX_OCTETS, fits, screened
from gateway.sip.errors import BadMessage
from gateway.sip.message import Headers, Request, Response, serialise
from gateway.sip.sdp import SdpError

AUDIO = (
    "v=0\r\no=- 7 8 IN IP4 192.0.2.9\r\ns=x\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n"
    "m=audio 4000 RTP/AVP 8 101\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=sendonly\r\n"
)


def request(method: str, *fields: tuple[str, str], body: str = "", kind: str = "application/sdp") -> Request:
    given = dict(fields)
    usual = {
        "Via": "SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKx", "From": "<sip:1@trunk>;tag=1", "To": "<sip:2@here>", "Call-ID": "a",
        "CSeq": f"1 {method}", "Contact": "<sip:1@192.0.2.9>", "Content-Type": kind,
    }  # fmt: skip
    return Request(method, "sip:2@here", Headers(tuple((usual | given).items())), body.encode())


def refused(message: Request) -> int:
    with pytest.raises(BadMessage) as error:
        screened(message)
    return error.value.status


def test_a_process_sees_the_fields_that_make_a_dialog() -> None:
    told = screened(
        request(
            "INVITE", ("From", 'Jürgen <sip:1@trunk>;tag=1;x="y"'), ("To", '"A, B" <sip:2@here>'), ("P-Asserted-Identity", "<sip:3@trunk>"),
            ("Identity", "a" * 5000), ("Session-Expires", "90;refresher=uac"), ("Min-SE", "no"), ("Supported", "timer, 100rel"),
            ("Contact", '"me" <sip:1@192.0.2.9;ob>;+sip.instance="<urn:uuid:0>";q=0.1'), ("Record-Route", "<sip:192.0.2.8;lr>;x=y"), body=AUDIO,
        )
    )  # fmt: skip
    assert dict(told.headers.fields) == {
        "From": "<sip:1@trunk>;tag=1", "To": '"A, B" <sip:2@here>', "Call-ID": "a", "CSeq": "1 INVITE",
        "Contact": "<sip:1@192.0.2.9;ob>", "Record-Route": "<sip:192.0.2.8;lr>", "supported": "100rel",
        "session-expires": "90;refresher=uac", "Content-Type": "application/sdp",
    }  # fmt: skip
    assert told.headers.all("Supported") == ("timer", "100rel")


@pytest.mark.parametrize(
    "field",
    [
        ("Contact", "<<<"), ("Contact", "<sip:a b@c>"), ("Contact", "<mailto:a@b>"), ("From", "<sip:\xff@trunk>;tag=1"),
        ("From", "<sip:1@trunk>;tag=a\x00"), ("To", "sip"), ("Call-ID", "a b"), ("Record-Route", "<sip:>>"), ("Record-Route", "<tel:1>"),
    ],
)  # fmt: skip
def test_an_invite_that_pjsip_could_not_read_is_refused(field: tuple[str, str]) -> None:
    assert refused(request("INVITE", field, body=AUDIO)) == 400


@pytest.mark.parametrize(
    "line", ["m=audio 0 RTP/AVP 8", "m=audio 4000 RTP/SAVP 8", "m=video 4000 RTP/AVP 96", ""]
)
def test_an_offer_without_audio_that_can_be_had_is_refused(line: str) -> None:
    body = f"v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n{line}\r\n"
    assert refused(request("INVITE", body=body)) == 488
    assert screened(request("ACK", body=body)).body.startswith(b"v=0")


def test_a_bye_is_heard_whatever_its_contact() -> None:
    assert screened(request("BYE", ("Contact", "<<<"))).headers.get("Contact") is None


def test_a_message_is_no_longer_than_pjsip_reads() -> None:
    fits(b"x" * MAX_OCTETS)
    with pytest.raises(BadMessage):
        fits(b"x" * (MAX_OCTETS + 1))


@pytest.mark.parametrize(
    ("kind", "body", "told"),
    [
        ("application/dtmf-relay", "Signal= 5\r\nDuration= 200\r\n", "Signal=5\r\nDuration=200\r\n"),
        ("application/dtmf-relay", "signal=11", "Signal=#\r\n"),
        ("application/dtmf", "*", "Signal=*\r\n"),
        ("application/dtmf-relay", "Signal=!", ""),
        ("application/dtmf", "", ""),
    ],
)
def test_a_key_is_told_in_one_way(kind: str, body: str, told: str) -> None:
    found = screened(request("INFO", body=body, kind=kind))
    assert found.body.decode() == told
    assert found.headers.get("Content-Type") == ("application/dtmf-relay" if told else None)


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [("application/dtmf-relay", "5555", 400), ("application/dtmf", "x", 400), ("text/plain", "5", 415)],
)
def test_an_info_that_tells_of_no_key_is_refused(kind: str, body: str, status: int) -> None:
    assert refused(request("INFO", body=body, kind=kind)) == status


def lines(sdp: str) -> list[str]:
    return described(sdp.encode()).decode().splitlines()[5:]


def test_a_description_passes_as_what_audio_needs() -> None:
    assert lines(AUDIO + "a=candidate:1 1 UDP 1 10.0.0.1 9 typ host\r\na=ptime:20\r\na=rtcp:4009\r\n") == [
        "m=audio 4000 RTP/AVP 8 101", "c=IN IP4 192.0.2.9", "a=rtpmap:101 telephone-event/8000", "a=fmtp:101 0-15",
        "a=ptime:20", "a=rtcp:4009", "a=sendonly",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "line", ["m=video 5000 RTP/AVP 96", "m=audio 5000 RTP/SAVP 8", "m=image 5000 udptl t38", "m=audio 5000 RTP/AVP 8\r\nc=IN IP6 ::1"]
)  # fmt: skip
def test_what_is_not_plain_audio_keeps_its_place_and_is_refused(line: str) -> None:
    first, *rest = lines(AUDIO.replace("m=audio", line + "\r\nm=audio"))
    kind, _, transport, form = line.partition("\r")[0].split(" ")
    assert first.upper() == f"{kind} 0 {transport} {form}".upper()
    assert rest[0].startswith("m=audio 4000 ")


def test_a_description_within_other_parts_is_found() -> None:
    body = f"--b\r\nContent-Type: application/sdp\r\n\r\n{AUDIO}\r\n--b\r\nContent-Type: application/isup\r\n\r\nx\r\n--b--\r\n"
    told = screened(request("INVITE", body=body, kind="multipart/mixed;boundary=b"))
    assert told.body == described(AUDIO.encode())
    assert told.headers.get("Content-Type") == "application/sdp"


@given(st.text(max_size=200) | st.text("vosctma=: \r\n/0123456789INP4audiRTVAre.", max_size=200))
def test_any_description_is_rewritten_or_refused(text: str) -> None:
    try:
        told = described(("v=0\r\n" + text).encode("utf-8", "surrogatepass"))
    except SdpError:
        return
    assert described(told) == told
    assert told.isascii()


@given(
    st.sampled_from(["From", "To", "Contact", "Call-ID", "Record-Route", "Supported", "Session-Expires", "WWW-Authenticate"]),
    st.text(max_size=60).filter(lambda text: "\r" not in text and "\n" not in text),
    st.booleans(),
)  # fmt: skip
def test_whatever_passes_is_plain(name: str, value: str, answered: bool) -> None:
    message = request("INVITE", (name, value), body=AUDIO)
    try:
        told = screened(Response(200, "\xff", message.headers, message.body) if answered else message)
    except BadMessage:
        return
    assert serialise(told).isascii()
