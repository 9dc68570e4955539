"""What two descriptions agree on, stream by stream."""

from __future__ import annotations

import base64

import pytest

from gateway.codecs.registry import supported
from gateway.sip.sdp import parse
from gateway.tap.agreeing import Agreement, streams
from gateway.tap.effects import Side, TappedStream
from tests.tap.traces import PLACES, sdp

A, B = PLACES["A"][0], PLACES["B"][0]
SUITE = "AES_CM_128_HMAC_SHA1_80"
SECURE = "RTP/SAVP"


def agree(offer: str, answer: str, offerer: Side = Side.CALLER) -> tuple[TappedStream, ...]:
    return streams(Agreement(parse(offer.encode()), parse(answer.encode()), offerer), supported)


def crypto(tag: int, fill: int, suite: str = SUITE) -> str:
    return f"crypto:{tag} {suite} inline:{base64.b64encode(bytes([fill]) * 30).decode()}"


def key(fill: int) -> list[bytes]:
    return [bytes([fill]) * 30]


def secrets(stream: TappedStream) -> list[bytes]:
    return [master.secret for master in stream.keys]


def test_numbers_are_the_receivers() -> None:
    offer = sdp("A", 4000, "96 8", "rtpmap:96 opus/48000/2", "rtpmap:97 telephone-event/48000")
    answer = sdp("B", 5000, "111", "rtpmap:111 opus/48000/2")
    caller, callee = agree(offer, answer)
    assert [(f.payload_type, f.name) for f in caller.formats] == [(111, "OPUS")]
    assert [(f.payload_type, f.name) for f in callee.formats] == [(96, "OPUS")]


def test_of_one_encoding_with_two_parameters_the_answer_picks_one() -> None:
    amr = ("rtpmap:96 AMR/8000", "fmtp:96 octet-align=1", "rtpmap:97 AMR/8000")
    _, callee = agree(sdp("A", 4000, "96 97", *amr), sdp("B", 5000, "97", "rtpmap:97 AMR/8000"))
    assert [f.payload_type for f in callee.formats] == [97]


def test_events_and_noise_are_apart() -> None:
    maps = ("rtpmap:96 telephone-event/16000",)
    caller, callee = agree(sdp("A", 4000, "8 101 13"), sdp("B", 5000, "8 96", *maps))
    assert [f.payload_type for f in caller.formats] == [8]
    assert dict(zip(caller.events, caller.event_rates, strict=True)) == {96: 16000, 101: 8000}
    assert dict(zip(callee.events, callee.event_rates, strict=True)) == {101: 8000, 96: 16000}
    assert (caller.noise, callee.noise) == ((13,), (13,))


def test_redundant_payloads_are_known_and_are_no_encoding_that_both_share() -> None:
    red = ("rtpmap:100 red/8000", "fmtp:100 101/101", "rtpmap:101 telephone-event/8000")
    caller, callee = agree(sdp("A", 4000, "0 100 101", *red), sdp("B", 5000, "8 99", "rtpmap:99 red/8000"))
    assert (caller.redundant, callee.redundant) == ((99, 100), (100, 99))
    assert [f.payload_type for f in caller.formats] == [8]
    assert [f.payload_type for f in callee.formats] == [0]


def test_a_number_of_events_that_means_sound_to_the_receiver_is_none() -> None:
    offer = sdp("A", 4000, "8 97", "rtpmap:97 telephone-event/8000")
    answer = sdp("B", 5000, "8 97", "rtpmap:97 iLBC/8000")
    caller, callee = agree(offer, answer)
    assert caller.events == ()
    assert callee.events == (97,)


def test_an_answer_with_nothing_of_the_offer_is_taken_at_its_word() -> None:
    caller, callee = agree(sdp("A", 4000, "8"), sdp("B", 5000, "0"))
    assert [f.name for f in caller.formats] == ["PCMU"]
    assert [f.name for f in callee.formats] == ["PCMA"]


def test_a_codec_that_cannot_be_recorded_leaves_a_stream_without_formats() -> None:
    caller, _ = agree(sdp("A", 4000, "7"), sdp("B", 5000, "7"))
    assert caller.formats == ()
    assert caller.to == (B, 5000)


@pytest.mark.parametrize(
    ("first", "second", "paused"),
    [
        ("sendrecv", "sendrecv", [False, False]),
        ("sendonly", "recvonly", [False, True]),
        ("recvonly", "sendonly", [True, False]),
        ("inactive", "inactive", [True, True]),
        ("sendonly", "sendrecv", [False, True]),
    ],
)
def test_directions(first: str, second: str, paused: list[bool]) -> None:
    found = agree(sdp("A", 4000, "8", first), sdp("B", 5000, "8", second))
    assert [stream.paused for stream in found] == paused


@pytest.mark.parametrize("offerer", list(Side))
def test_the_answers_tag_says_which_of_the_offered_keys_are_taken(offerer: Side) -> None:
    offer = sdp("A", 4000, "8", crypto(1, 1), crypto(2, 2), profile=SECURE)
    answer = sdp("B", 5000, "8", crypto(2, 9), profile=SECURE)
    if offerer is Side.CALLER:
        caller, callee = agree(offer, answer)
    else:
        callee, caller = agree(answer, offer, offerer)
    assert (secrets(caller), secrets(callee)) == (key(2), key(9))
    assert not caller.secret
    assert not callee.secret


@pytest.mark.parametrize(
    ("profile", "attributes"),
    [
        (SECURE, ()),
        (SECURE, (crypto(1, 1, "UNKNOWN_SUITE"),)),
        ("UDP/TLS/RTP/SAVPF", ("fingerprint:sha-256 00:11", "setup:actpass")),
        ("RTP/AVP", ("fingerprint:sha-256 00:11", "setup:actpass")),
        ("RTP/AVP", ("zrtp-hash:1.10 00",)),
    ],
)
def test_keys_that_are_not_told_make_it_secret(profile: str, attributes: tuple[str, ...]) -> None:
    found = agree(
        sdp("A", 4000, "8", *attributes, profile=profile), sdp("B", 5000, "8", *attributes, profile=profile)
    )
    assert [(stream.secret, stream.keys) for stream in found] == [(True, ()), (True, ())]


def test_keys_offered_beside_plain_rtp_count_where_both_have_them() -> None:
    with_keys, plain = sdp("A", 4000, "8", crypto(1, 1)), sdp("B", 5000)
    assert [(stream.secret, stream.keys) for stream in agree(with_keys, plain)] == [(False, ()), (False, ())]
    caller, callee = agree(with_keys, sdp("B", 5000, "8", crypto(1, 7)))
    assert (secrets(caller), secrets(callee)) == (key(1), key(7))


def test_candidates_are_not_looked_at() -> None:
    candidate = "candidate:1 1 UDP 2130706431 10.0.0.9 7000 typ host"
    caller, callee = agree(sdp("A", 4000, "8", candidate), sdp("B", 5000, "8", candidate))
    assert (caller.to, callee.to) == ((B, 5000), (A, 4000))


def test_what_one_side_says_alone() -> None:
    found = streams(Agreement(parse(sdp("A", 4000, "8 0 101").encode())), supported)
    assert [(stream.side, stream.to, stream.source) for stream in found] == [
        (Side.CALLER, None, (A, 4000)),
        (Side.CALLEE, (A, 4000), None),
    ]
    assert [[f.name for f in stream.formats] for stream in found] == [["PCMA", "PCMU"]] * 2
    assert found[1].events == (101,)


def test_ipv6_is_written_in_one_way() -> None:
    offer = sdp("A", 4000).replace(f"IN IP4 {A}", "IN IP6 2001:DB8:0:0::0001")
    _, callee = agree(offer, sdp("B", 5000))
    assert callee.to == ("2001:db8::1", 4000)


def test_a_line_with_another_kind_at_its_place_is_left_out() -> None:
    assert agree(sdp("A", 4000), sdp("B", 5000, "t38", kind="image", profile="udptl")) == ()
    assert agree(sdp("A", 4000), sdp("B", 0)) == ()
