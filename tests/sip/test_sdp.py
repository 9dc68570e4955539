import base64
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sip.sdp import (
    MAX_BYTES,
    MAX_MEDIA,
    Direction,
    Format,
    SdpError,
    SessionDescription,
    answer,
    parse,
)

OFFER = b"""v=0
o=SRC 1 1 IN IP4 192.0.2.2
s=-
c=IN IP4 192.0.2.2
t=0 0
a=sendonly
m=audio 12240 RTP/AVP 111 8 0 101 102
a=rtpmap:111 opus/48000/2
a=fmtp:111 useinbandfec=1
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-15
a=rtpmap:102 Telephone-Event/48000
a=ptime:20
a=label:96
m=audio 12242/2 RTP/AVP 18 8
c=IN IP6 2001:db8::2
a=inactive
a=label:97
m=video 12244 RTP/AVP 99
a=rtpmap:99 H264/90000
a=label:v
m=audio 12246 RTP/SAVP 0
m=application 9 UDP/DTLS/SCTP webrtc-datachannel
"""


def g711(name: str, rate: int, channels: int, fmtp: str) -> bool:
    return (name, rate) in {("PCMA", 8000), ("PCMU", 8000)}


def test_parse() -> None:
    first, second, video, secure, data = parse(OFFER.replace(b"\n", b"\r\n")).media
    assert (first.kind, first.port, first.address, first.label, first.ptime) == (
        "audio",
        12240,
        "192.0.2.2",
        "96",
        20,
    )
    assert first.direction is Direction.SENDONLY
    assert first.formats[0] == Format(111, "OPUS", 48000, "useinbandfec=1", 2)
    assert first.accepted(g711) == (Format(8, "PCMA", 8000), Format(0, "PCMU", 8000))
    assert [event.payload_type for event in first.events()] == [101, 102]
    assert (second.address, second.direction) == ("2001:db8::2", Direction.INACTIVE)
    assert second.formats[0] == Format(18, "G729", 8000)
    assert not any(media.accepted(g711) for media in (video, secure, data))
    assert parse(OFFER) == parse(OFFER.replace(b"\n", b"\r\n"))


def secret(line: int, size: int) -> bytes:
    return bytes([line]) * size


def test_answer() -> None:
    text = answer(parse(OFFER), g711, [40000, 40002, 40004, 40006, None], "192.0.2.1", 5, 2, secret)
    assert text.decode().splitlines() == [
        "v=0", "o=- 5 2 IN IP4 192.0.2.1", "s=-", "c=IN IP4 192.0.2.1", "t=0 0",
        "m=audio 40000 RTP/AVP 8 0 101 102", "a=rtpmap:8 PCMA/8000", "a=rtpmap:0 PCMU/8000",
        "a=rtpmap:101 telephone-event/8000", "a=fmtp:101 0-15", "a=rtpmap:102 Telephone-Event/48000",
        "a=recvonly", "a=label:96",
        "m=audio 40002 RTP/AVP 8", "a=rtpmap:8 PCMA/8000", "a=inactive", "a=label:97",
        "m=video 0 RTP/AVP 99", "a=label:v",
        "m=audio 0 RTP/SAVP 0",
        "m=application 0 UDP/DTLS/SCTP webrtc-datachannel",
    ]  # fmt: skip
    with pytest.raises(ValueError, match="zip"):
        answer(parse(OFFER), g711, [1], "192.0.2.1", 5, 2, secret)


def known(name: str, *_: object) -> bool:
    return name != "LPC"


@pytest.mark.parametrize(
    ("formats", "answered"),
    [
        ("2 4 96 101 8 0", "101 8 0 2 4 96"),
        ("99 97 7 18", "18 99 97"),
        ("2 7", "2"),
        ("96 4", "96 4"),
    ],
)
def test_what_keeps_less_of_a_voice_is_taken_after_all_else(formats: str, answered: str) -> None:
    maps = b"a=rtpmap:96 speex/16000\na=rtpmap:97 DVI4/8000\na=rtpmap:99 AAL2-G726-40/8000\na=rtpmap:101 telephone-event/8000\n"
    (media,) = parse(b"v=0\nm=audio 4 RTP/AVP " + formats.encode() + b"\n" + maps).media
    lines = (
        answer(SessionDescription("", (media,)), known, [6], "192.0.2.1", 1, 1, secret).decode().splitlines()
    )
    assert lines[5] == f"m=audio 6 RTP/AVP {answered}"
    assert [str(f.payload_type) for f in media.accepted(known)] == answered.replace("101 ", "").split()


@pytest.mark.parametrize(
    ("line", "named"),
    [
        (b"m=audio 4 RTP/AVP 7 101 13 98", ("LPC/8000", "payload type 98")),
        (b"m=audio 4 RTP/AVP 96 15 7 12 4 2", ("EVS/16000", "G728/8000", "LPC/8000", "QCELP/8000")),
        (b"m=audio 4 RTP/AVP 99", ("A" * 32,)),
        (b"m=video 4 RTP/AVP 7", ("video",)),
        (b"m=image 4 udptl t38", ("T.38 fax",)),
        (b"m=image 4 udptl other", ("image",)),
        (b"m=\x1b[31m 4 RTP/AVP 7", ("something that is no media",)),
    ],
)
def test_what_a_line_is_about_is_named(line: bytes, named: tuple[str, ...]) -> None:
    maps = (
        b"\na=rtpmap:96 EVS/16000\na=rtpmap:101 telephone-event/8000\na=rtpmap:99 " + b"a" * 500 + b"/8000\n"
    )
    (media,) = parse(b"v=0\n" + line + maps).media
    assert media.named() == named


def test_channels_and_parameters_are_asked_about_and_answered() -> None:
    asked = []

    def any_format(*format: object) -> bool:
        asked.append(format)
        return True

    (media,) = parse(
        b"v=0\nm=audio 4 RTP/AVP 96 10 97 13 98\na=rtpmap:96 opus/48000/2\na=rtpmap:97 AMR/8000\n"
        b"a=fmtp:97 octet-align=1; mode-set=7\na=rtpmap:98 CN/16000\n"
    ).media
    offer = SessionDescription("", (media,))
    lines = answer(offer, any_format, [6], "192.0.2.1", 1, 1, secret).decode().splitlines()
    assert lines[5:-1] == [
        "m=audio 6 RTP/AVP 96 10 97 13 98", "a=rtpmap:96 opus/48000/2", "a=rtpmap:10 L16/44100/2",
        "a=rtpmap:97 AMR/8000", "a=fmtp:97 octet-align=1; mode-set=7", "a=rtpmap:13 CN/8000", "a=rtpmap:98 CN/16000",
    ]  # fmt: skip
    assert asked[:3] == [
        ("OPUS", 48000, 2, ""),
        ("L16", 44100, 2, ""),
        ("AMR", 8000, 1, "octet-align=1; mode-set=7"),
    ]
    assert [noise.payload_type for noise in media.noise()] == [13, 98]


def test_redundant_payloads_are_known_and_not_taken() -> None:
    offer = parse(b"v=0\nm=audio 4 RTP/AVP 8 100\na=rtpmap:100 red/8000\na=fmtp:100 8/8\n")
    assert [format.payload_type for format in offer.media[0].redundant()] == [100]
    text = answer(offer, g711, [6], "192.0.2.1", 1, 1, secret).decode()
    assert "m=audio 6 RTP/AVP 8\r\n" in text


def test_answer_over_ipv6_and_with_refused_line() -> None:
    text = answer(parse(OFFER), g711, [None, 40002, 0, 0, 0], "2001:db8::1", 5, 2, secret).decode()
    assert "c=IN IP6 2001:db8::1\r\n" in text
    assert "m=audio 0 RTP/AVP 111 8 0 101 102\r\na=label:96\r\nm=audio 40002" in text


@pytest.mark.parametrize(
    ("lines", "direction"),
    [
        (b"", Direction.SENDRECV),
        (b"c=IN IP4 0.0.0.0\n", Direction.INACTIVE),
        (b"c=IN IP4 0.0.0.0\na=sendonly\n", Direction.INACTIVE),
        (b"a=recvonly\n", Direction.RECVONLY),
    ],
)
def test_direction(lines: bytes, direction: Direction) -> None:
    (media,) = parse(b"v=0\nm=audio 4 RTP/AVP 0\n" + lines).media
    assert media.direction is direction


def test_tolerance() -> None:
    (media,) = parse(
        b"v=0\nnonsense\nx=1\nm=audio 4 RTP/AVP 0 0 999 x 96\na=rtpmap:broken\na=ptime:x\na=flag\n"
    ).media
    assert media.formats == (Format(0, "PCMU", 8000),)
    assert (media.address, media.label, media.ptime) == (None, None, None)
    assert parse(b"v=0\n").media == ()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"o=1\nv=0",
        b"v=0\nm=audio",
        b"v=0\nm=audio 70000 RTP/AVP 0",
        b"v=0\n" + b"m=audio 1 RTP/AVP 0\n" * (MAX_MEDIA + 1),
        b"v=0\nm=audio 1 RTP/AVP" + b" 0" * 65,
        b"v=0\n" + b"a=x\n" * MAX_BYTES,
    ],
)
def test_unreadable(data: bytes) -> None:
    with pytest.raises(SdpError):
        parse(data)


@given(st.data())
def test_mutations_raise_only_sdp_error_and_answers_keep_the_lines(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(OFFER)))
    mutated = OFFER[:at] + data.draw(st.binary(max_size=6)) + OFFER[at + data.draw(st.integers(0, 6)) :]
    try:
        offer = parse(mutated)
    except SdpError:
        return
    answered = parse(answer(offer, g711, [4000] * len(offer.media), "192.0.2.1", 1, 1, secret))
    assert [(m.kind, m.transport, m.label) for m in answered.media] == [
        (m.kind, m.transport, m.label) for m in offer.media
    ]
    for ours, theirs in zip(answered.media, offer.media, strict=True):
        assert bool(ours.port) == bool(theirs.accepted(g711))


def test_every_prefix_is_read_or_refused_and_tails_change_nothing() -> None:
    for length in range(len(OFFER)):
        with suppress(SdpError):
            parse(OFFER[:length])
    assert parse(OFFER + b"\r\n\0\r\n") == parse(OFFER)


def test_secure_lines_are_answered_with_a_key_for_the_first_suite_that_is_known() -> None:
    offer = parse(
        b"v=0\r\nc=IN IP4 192.0.2.9\r\n"
        b"m=audio 4000 RTP/SAVP 8\r\na=label:1\r\n"
        b"a=crypto:1 UNKNOWN_SUITE inline:AAAA\r\n"
        b"a=crypto:2 AES_CM_128_HMAC_SHA1_80 inline:" + base64.b64encode(bytes(range(30))) + b"|2^31\r\n"
        b"m=audio 4002 RTP/SAVPF 8\r\na=crypto:1 UNKNOWN_SUITE inline:AAAA\r\n"
    )
    crypto = offer.media[0].crypto
    assert crypto is not None
    assert crypto.keys[0].secret == bytes(range(30))
    lines = answer(offer, g711, [6000, 6002], "192.0.2.1", 1, 1, secret).decode().splitlines()
    assert "m=audio 6000 RTP/SAVP 8" in lines
    assert f"a=crypto:2 AES_CM_128_HMAC_SHA1_80 inline:{'A' * 40}" in lines
    assert "m=audio 0 RTP/SAVPF 8" in lines


def test_rtcp_on_the_media_port_is_accepted_where_it_is_offered() -> None:
    offer = parse(
        b"v=0\r\nc=IN IP4 192.0.2.9\r\nm=audio 4000 RTP/AVP 8\r\na=rtcp-mux\r\nm=audio 4002 RTP/AVP 8\r\n"
    )
    first, second = answer(offer, g711, [6000, 6002], "192.0.2.1", 1, 1, secret).decode().split("m=audio")[1:]
    assert "a=rtcp-mux\r\n" in first
    assert "rtcp-mux" not in second
