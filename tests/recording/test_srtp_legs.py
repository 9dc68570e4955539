"""Legs that carry SRTP, through the engine."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pylibsrtp import Policy, Session

from gateway.recording.messages import Reformat, Refused, SrtpKey, Unreadable
from gateway.recording.model import Role
from tests.recording.simulation import PLAN, SECOND, Datagram, play, sent, speech

SUITE = "AES_CM_128_HMAC_SHA1_80"
TOLD, OTHER = bytes(range(30)), bytes(30)


def sealed(datagrams: list[Datagram], secret: bytes) -> list[Datagram]:
    session = Session(
        Policy(secret, Policy.SSRC_ANY_OUTBOUND, srtp_profile=Policy.SRTP_PROFILE_AES128_CM_SHA1_80)
    )
    return [Datagram(d.arrival, d.leg, session.protect(d.data)) for d in datagrams]


SECURE = replace(PLAN, legs=tuple(replace(leg, keys=(SrtpKey(SUITE, TOLD.hex()),)) for leg in PLAN.legs))


def test_what_was_sealed_for_the_way_is_stored_as_it_was_spoken() -> None:
    audio = speech(4)
    played = play(sealed(sent(audio, sequence=65_500), TOLD), plan=SECURE)
    assert played.audio(Role.EXTERNAL) == audio
    assert not any(isinstance(event, Unreadable) for event in played.events)


def test_a_key_that_was_not_told_is_told_of_once() -> None:
    audio = speech(4)
    stream = sent(audio)
    played = play(sealed(stream[:100], TOLD) + sealed(stream[100:], OTHER), plan=SECURE)
    assert played.audio(Role.EXTERNAL) == audio[:16_000]
    assert [event for event in played.events if isinstance(event, Unreadable)] == [Unreadable(PLAN.call_id)]


def test_strangers_are_not_taken_for_a_key_that_was_not_told() -> None:
    audio = speech(4)
    strangers = sealed(sent(speech(4, 2), ssrc=0xBAD, start=SECOND // 100), OTHER)
    played = play(sealed(sent(audio), TOLD) + strangers, plan=SECURE)
    assert played.audio(Role.EXTERNAL) == audio
    assert not any(isinstance(event, Unreadable) for event in played.events)


@pytest.mark.parametrize("late", [0, 12, 60])
def test_what_is_under_way_when_a_call_leaves_srtp_is_no_noise(late: int) -> None:
    """The party that gives up SRTP hears so later than we do: packets go on under the keys that were."""
    audio = speech(4)
    stream = sent(audio, sequence=65_500)
    left = 100
    told_ns = stream[left].arrival - SECOND // 100
    datagrams = sealed(stream[: left + late], TOLD) + stream[left + late :]
    plain = Reformat(PLAN.call_id, PLAN.legs, held=False, swapped=False)
    played = play(datagrams, plan=SECURE, commands=[(told_ns, plain)])
    assert played.audio(Role.EXTERNAL) == audio
    assert not any(isinstance(event, Unreadable | Refused) for event in played.events)
