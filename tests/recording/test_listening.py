"""Keys that sound in the audio of a call: nothing of them is in what is written, and all else is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest

from bench.inband import DIGITS, Spandsp, Wave, multimon
from gateway.codecs.g711 import A_LAW
from gateway.codecs.registry import by_name
from gateway.demo.speech import load
from gateway.recording.messages import Keyed, LegPlan, PayloadFormat
from gateway.recording.model import Cause, Role
from gateway.recording.narrowband import Voice
from gateway.redaction.digit import Digit
from gateway.redaction.inband_exact import HIGH, KEYS, LOW, RATE
from gateway.redaction.rules import CardRule, Rules
from tests.codecs.coded import cut, dvi4, encoded, ffmpeg, speex_packets
from tests.recording.simulation import MS, PCMA, PLAN, SECOND, Datagram, Played, play, rtp, sent

NO_CARD_RULE = Rules(card=CardRule(active=False))
CARD = [Digit(int(each)) for each in "4111111111111111"]
KEY_UNITS, EVERY, FIRST = 480, 2400, 8000  # a key of 60 ms every 300 ms, from the first second on
GUARD = 320
EDGE = 96  # by which a tone's place may be told wrongly
SECONDS = 7


def pair(key: Digit, count: int, level: float, rate: int = RATE) -> Wave:
    ((low, high),) = [
        (row, column) for row, keys in enumerate(KEYS) for column, k in enumerate(keys) if k is key
    ]
    time = np.arange(count) / rate
    peak = 32_768 * 10 ** ((level - 3.14) / 20)
    wave = peak * (np.sin(2 * np.pi * LOW[low] * time) + np.sin(2 * np.pi * HIGH[high] * time))
    return wave.astype(np.float32)


def talk(role: str) -> Wave:
    speech = A_LAW.decode(load("inbound", role, "PCMA")).astype(np.float32)
    return np.resize(speech, SECONDS * RATE)


def places(count: int = len(CARD)) -> list[int]:
    return [FIRST + number * EVERY for number in range(count)]


def keyed(keys: Sequence[Digit] = CARD, level: float = -12.0, echo: float = -30.0) -> tuple[Wave, Wave]:
    """Two legs: keys on the first, where nobody talks then, and their echo 20 ms later on the second, where somebody does."""
    first, second = talk("external"), talk("agent")
    for place, key in zip(places(len(keys)), keys, strict=True):
        tone = pair(key, KEY_UNITS, level)
        first[place - 400 : place + KEY_UNITS + 400] = 0
        first[place : place + KEY_UNITS] = tone
        second[place + 160 : place + 160 + KEY_UNITS] += tone * np.float32(10 ** (echo / 20))
    return first, second


def a_law(wave: Wave) -> bytes:
    order = np.argsort(A_LAW.table, kind="stable")
    levels = A_LAW.table[order].astype(np.float32)
    return order[np.searchsorted((levels[1:] + levels[:-1]) / 2, wave)].astype(np.uint8).tobytes()


def stored(played: Played, role: Role) -> dict[int, int]:
    """Each unit of the call that was kept, and its octet."""
    return {time + at: octet for time, payload in played.blocks(role) for at, octet in enumerate(payload)}


def heard(played: Played, role: Role, name: str = "PCMA", rate: int = RATE) -> Wave:
    """What is stored of a leg, silence where nothing is."""
    wave = np.zeros((SECONDS + 1) * RATE, np.float32)
    voice = Voice(by_name(name, rate))
    for time, payload in played.blocks(role):
        said = voice.hear([payload])[: len(wave) - time]
        wave[time : time + len(said)] = said
    return wave


def named(wave: Wave) -> str:
    return multimon(wave) + Spandsp().digits(wave)


@pytest.mark.parametrize("tick", [100 * MS, 70 * MS])
def test_no_key_is_left_on_either_leg_and_no_other_sample_is_missing(tick: int) -> None:
    legs = [a_law(wave) for wave in keyed()]
    played = play(
        [*sent(legs[0], 0), *sent(legs[1], 1)], tick=tick, closed=SECONDS * SECOND, rules=NO_CARD_RULE
    )
    for role, octets, late in ((Role.EXTERNAL, legs[0], 0), (Role.AGENT, legs[1], 160)):
        assert named(A_LAW.decode(octets).astype(np.float32)) or role is Role.AGENT
        assert named(heard(played, role)) == ""
        kept = stored(played, role)
        assert all(octets[unit] == octet for unit, octet in kept.items())
        gone = {unit for unit in range(len(octets)) if unit not in kept}
        tones = {unit for place in places() for unit in range(place + late, place + late + KEY_UNITS)}
        guards = {unit + by for unit in tones for by in (-GUARD - EDGE, 0, GUARD + EDGE)}
        assert gone <= guards
        assert role is Role.AGENT or tones <= gone
    told = [event for event in played.events if isinstance(event, Keyed)]
    assert sum(event.count for event in told if event.way == "inband") >= len(CARD)


def test_a_card_that_is_keyed_in_the_audio_opens_a_pause() -> None:
    legs = [a_law(wave) for wave in keyed()]
    played = play([*sent(legs[0], 0), *sent(legs[1], 1)], closed=SECONDS * SECOND)
    assert "card" in {redaction.cause for redaction in played.finished.redactions}
    assert max(stored(played, Role.AGENT)) < places()[-1]


@pytest.mark.parametrize("where", ["never", "without_events", "always"])
@pytest.mark.parametrize("events", [(), (101,)])
def test_tones_are_looked_for_where_the_rules_say(where: str, events: tuple[int, ...]) -> None:
    legs = [a_law(wave) for wave in keyed(CARD[:3])]
    plan = replace(PLAN, legs=tuple(LegPlan(leg.role, (PCMA,), events) for leg in PLAN.legs))
    rules = replace(NO_CARD_RULE, inband=where)
    played = play([*sent(legs[0], 0)], plan=plan, closed=SECONDS * SECOND, rules=rules)
    looked = where == "always" or (where == "without_events" and not events)
    assert bool(named(heard(played, Role.EXTERNAL))) is not looked


@dataclass(frozen=True)
class Format:
    """A payload format as a leg has it, and how a sound becomes packets of so many samples of it."""

    name: str
    packed: Callable[[np.ndarray], list[bytes]]
    rate: int = RATE
    samples: int = 160
    clock: int = RATE
    channels: int = 1


def by_ffmpeg(size: int, *options: str, rate: int = RATE) -> Callable[[np.ndarray], list[bytes]]:
    return lambda pcm: cut(ffmpeg(pcm.tobytes(), "-f", "s16le", "-ar", str(rate), "-i", "-", *options), size)


FORMATS = (
    Format("PCMU", by_ffmpeg(160, "-f", "mulaw")),
    Format("G722", by_ffmpeg(160, "-f", "g722", rate=16_000), 16_000, 320),
    Format("GSM", by_ffmpeg(33, "-f", "gsm")),
    Format(
        "OPUS",
        lambda pcm: encoded("libopus", pcm, 48_000, 960, b="24k", application="voip"),
        48_000, 960, 48_000, 2,
    ),
    Format("G726-16", by_ffmpeg(40, "-c:a", "g726le", "-b:a", "16k", "-f", "g726le")),
    Format("G726-24", by_ffmpeg(60, "-c:a", "g726le", "-b:a", "24k", "-f", "g726le")),
    Format("G726-32", by_ffmpeg(80, "-c:a", "g726le", "-b:a", "32k", "-f", "g726le")),
    Format("AAL2-G726-40", by_ffmpeg(100, "-c:a", "g726", "-b:a", "40k", "-f", "g726")),
    Format("G723", by_ffmpeg(24, "-c:a", "g723_1", "-b:a", "6300", "-f", "g723_1"), samples=240),
    Format("SPEEX", lambda pcm: speex_packets(pcm, RATE, "-b:a", "15k")),
    Format("SPEEX", lambda pcm: speex_packets(pcm, 16_000, "-b:a", "28k"), 16_000, 320, 16_000),
    Format("DVI4", lambda pcm: dvi4(RATE, 160, pcm).payloads),
)  # fmt: skip


@pytest.mark.parametrize("loss", [0.0, 0.02])
@pytest.mark.parametrize("kind", FORMATS, ids=lambda kind: f"{kind.name}-{kind.clock}")
def test_every_codec_is_listened_to(kind: Format, loss: float) -> None:
    rate, clock = kind.rate, kind.clock
    form = PayloadFormat(111, kind.name, clock, kind.channels)
    plan = replace(PLAN, legs=tuple(LegPlan(leg.role, (form,)) for leg in PLAN.legs))
    wave = np.zeros(SECONDS * rate)
    for place, key in zip(places(), DIGITS, strict=True):
        wave[place * rate // RATE :][: 60 * rate // 1000] = pair(key, 60 * rate // 1000, -12, rate)
    chance = np.random.default_rng(4)
    pace = kind.samples * SECOND // rate
    payloads = kind.packed(wave.astype(np.int16))
    if not loss:
        assert len(multimon(Voice(by_name(kind.name, clock)).hear(payloads))) > len(DIGITS) / 2
    datagrams = [
        Datagram(number * pace, 0, rtp(number, number * pace * clock // SECOND, payload, 1, 111))
        for number, payload in enumerate(payloads)
        if chance.random() >= loss
    ]
    played = play(datagrams, plan=plan, closed=SECONDS * SECOND, rules=NO_CARD_RULE)
    assert named(heard(played, Role.EXTERNAL, kind.name, clock)) == ""
    kept = sum(report.media_units for report in played.finished.legs)
    assert kept > 2 * RATE  # and not everything is gone


def test_a_key_after_a_loss_is_found_though_the_decoder_is_out_of_step() -> None:
    wave = np.zeros(SECONDS * 16_000, np.float32)
    for place, key in zip(places(), CARD[:4] * 4, strict=True):
        wave[2 * place : 2 * (place + 400)] = pair(key, 800, -12.0, 16_000)
    # The first packet of a key, or its second.
    lost = {place // 160 + number % 2 for number, place in enumerate(places())}
    datagrams = [
        Datagram(number * 20 * MS, 0, rtp(number, number * 160, payload, payload_type=9))
        for number, payload in enumerate(FORMATS[1].packed(wave.astype(np.int16)))
        if number not in lost
    ]
    form = PayloadFormat(9, "G722", RATE)
    plan = replace(PLAN, legs=(LegPlan(Role.EXTERNAL, (form,)), LegPlan(Role.AGENT, (PCMA,))))
    played = play(datagrams, plan=plan, closed=SECONDS * SECOND, rules=NO_CARD_RULE)
    assert named(heard(played, Role.EXTERNAL, "G722")) == ""


@pytest.mark.parametrize("late", [150 * MS, 400 * MS, 2 * SECOND])
def test_packets_that_come_after_their_place_was_passed_are_looked_at(late: int) -> None:
    first, _ = keyed()
    datagrams = []
    for number, datagram in enumerate(sent(a_law(first), 0)):
        inside = (number * 160 - FIRST) % EVERY < KEY_UNITS + 160
        datagrams.append(replace(datagram, arrival=datagram.arrival + late * inside))
    played = play(datagrams, closed=SECONDS * SECOND, rules=NO_CARD_RULE)
    assert named(heard(played, Role.EXTERNAL)) == ""


def test_a_key_at_the_very_end_of_a_stream_is_masked() -> None:
    wave = np.zeros(2 * RATE, np.float32)
    wave[-240:] = pair(Digit.FIVE, 240, -12)
    for closed in (2 * SECOND, 20 * SECOND):
        played = play(sent(a_law(wave), 0), closed=closed, rules=NO_CARD_RULE)
        assert named(heard(played, Role.EXTERNAL)) == ""
        assert len(played.audio(Role.EXTERNAL)) >= 2 * RATE - 240 - GUARD - EDGE


def test_a_new_stream_in_the_middle_of_a_key_hides_nothing() -> None:
    wave = np.zeros(4 * RATE, np.float32)
    wave[2 * RATE - 400 : 2 * RATE + 400] = pair(Digit.FIVE, 800, -12)
    octets = a_law(wave)
    half = 2 * RATE
    datagrams = [
        *sent(octets[:half], 0),
        *sent(octets[half:], 0, start=2 * SECOND, sequence=77, timestamp=9, ssrc=0xBEEF),
    ]
    played = play(datagrams, closed=5 * SECOND, rules=NO_CARD_RULE)
    assert named(heard(played, Role.EXTERNAL)) == ""


def test_what_leaks_around_telephone_events_is_masked() -> None:
    wave = talk("external")
    datagrams = []
    for number, place in enumerate(places(8)):
        wave[place - 400 : place + 2 * KEY_UNITS] = 0
        wave[place : place + 150] = pair(Digit.SEVEN, 150, -12)  # until the sender heard it itself
        start = place * SECOND // RATE
        for step in range(1, 4):
            event = bytes((7, 10 | 0x80 * (step == 3))) + (160 * step).to_bytes(2, "big")
            packet = rtp(5000 + place // 160 + number * 3 + step, 5000 + place, event, payload_type=101)
            datagrams.append(Datagram(start + step * 20 * MS, 0, packet))
    audio = sent(a_law(wave), 0, sequence=1000)
    mixed = [  # one sequence over both
        replace(datagram, data=datagram.data[:2] + number.to_bytes(2, "big") + datagram.data[4:])
        for number, datagram in enumerate(sorted([*audio, *datagrams]))
    ]
    played = play(mixed, closed=SECONDS * SECOND, rules=NO_CARD_RULE)
    assert named(heard(played, Role.EXTERNAL)) == ""


@pytest.mark.parametrize("presser", [Role.EXTERNAL, Role.AGENT])
@pytest.mark.parametrize(("late", "echo"), [(0, -3.0), (160, -20.0), (800, -30.0)])
def test_a_code_is_that_of_the_leg_on_which_it_was_keyed_not_of_its_echo(
    presser: Role, late: int, echo: float
) -> None:
    """The leg of the echo comes first in every list."""
    pressed, echoing = (talk(role) for role in (presser, presser.other))
    for place, key in zip(places(2), (Digit.STAR, Digit.SEVEN), strict=True):
        tone = pair(key, KEY_UNITS, -12.0)
        pressed[place - 400 : place + KEY_UNITS + 400] = 0
        pressed[place : place + KEY_UNITS] = tone
        echoing[place + late : place + late + KEY_UNITS] = tone * np.float32(10 ** (echo / 20))
    legs = {leg.role: leg for leg in PLAN.legs}
    plan = replace(PLAN, legs=(legs[presser.other], legs[presser]))
    played = play(
        [*sent(a_law(echoing), 0), *sent(a_law(pressed), 1)], plan=plan, closed=4 * SECOND, rules=NO_CARD_RULE
    )
    causes = {redaction.cause for redaction in played.finished.redactions}
    assert (Cause.FEATURE_CODE in causes) is (presser is Role.AGENT)
