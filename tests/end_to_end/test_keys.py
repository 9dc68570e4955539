"""Keys through a real gateway: a card's number pauses the recording, a menu does not, and no digit is found anywhere."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import pytest

from tests.end_to_end.client import PACKET, Client, Voice, both, metadata, sdp
from tests.end_to_end.gateway import Gateway, Json, at_once
from tests.ports import HOST

CARD, EXPIRY, CODE = "4929123456789015", "1227", "907"
MENU = "31415926#"
SETTINGS = {"redaction.card": {"gap_seconds": 2.0, "quiet_seconds": 2.0}}
KEYS = "0123456789*#"
Press = Callable[[Client, Voice, str], None]


def by_info(client: Client, voice: Voice, key: str) -> None:
    client.request("INFO", f"Signal={key}\r\nDuration=60\r\n".encode(), "application/dtmf-relay")
    client.speak(0.04, voice)


def by_event(client: Client, voice: Voice, key: str) -> None:
    """Six packets of an event, 20 ms apart, in place of audio."""
    start = PACKET * voice.sequence
    for place in range(6):
        told = struct.pack(">BBH", KEYS.index(key), 0x80 * (place > 2) | 10, PACKET * min(place + 1, 4))
        head = b"\x80\x65" + voice.sequence.to_bytes(2) + start.to_bytes(4) + voice.seed.to_bytes(4)
        voice.sequence += 1
        client.send(voice, head + told)
    client.speak(0.04, voice)


def keyed(gateway: Gateway, number: str, press: Press, text: str) -> None:
    voices = [Voice(int(number)), Voice(int(number) + 1)]
    offer = sdp("12").replace(b"RTP/AVP 8", b"RTP/AVP 8 101")
    offer = offer.replace(b"a=rtpmap:8 ", b"a=rtpmap:101 telephone-event/8000\r\na=rtpmap:8 ")
    with Client(gateway.server, number) as client:
        answer = client.invite(*both(offer, metadata([("c", number, "1"), ("a", "201", "2")])))
        for voice, port in zip(voices, answer.ports, strict=True):
            voice.target = (HOST, port)
        client.speak(1.0, *voices)
        for key in text:
            press(client, voices[0], key)
        client.speak(4.0, *voices)
        client.request("BYE")


WHOLE = f"{CARD}#{EXPIRY}#{CODE}"
CALLS = {
    "4411": (by_info, WHOLE),
    "4421": (by_event, WHOLE),
    "4431": (by_info, MENU),
    "4441": (by_event, MENU),
}


@dataclass(frozen=True)
class Keyed:
    calls: dict[str, Json]
    written: dict[str, bytes]  # all files, the log and the metrics


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keyed]:
    with Gateway(tmp_path_factory.mktemp("keys"), SETTINGS) as gateway:
        at_once(*(partial(keyed, gateway, number, *told) for number, told in CALLS.items()))
        gateway.wait_idle()
        listed = gateway.calls()
        calls = {party["number"]: call for call in listed for party in call["participants"]}
        written = {str(path): path.read_bytes() for path in gateway.folder.rglob("*") if path.is_file()}
        written["metrics"] = gateway.scrape().encode()
        yield Keyed(calls, written)


@pytest.mark.parametrize("number", ["4411", "4421"])
def test_a_card_pauses_until_no_key_came_for_a_while(recorded: Keyed, number: str) -> None:
    call = recorded.calls[number]
    (pause,) = [each for each in call["redactions"] if each["cause"] == "card"]
    assert sorted(pause["legs"]) == ["agent", "external"]
    tones = [each for each in call["redactions"] if each["cause"] == "dtmf"]
    assert bool(tones) == (number == "4421")
    if tones:
        first, last = min(each["start"] for each in tones), max(each["end"] for each in tones)
        assert pause["start"] < first + 0.1
        assert last + 1.8 < pause["end"]
        assert pause["end"] < last + 3.9  # the call goes on for four seconds


@pytest.mark.parametrize("number", ["4431", "4441"])
def test_a_menu_does_not(recorded: Keyed, number: str) -> None:
    assert {each["cause"] for each in recorded.calls[number]["redactions"]} <= {"dtmf"}


def test_no_digits_are_found_anywhere(recorded: Keyed) -> None:
    """Not in the clear, as the codes of keys, in hexadecimal, nor as a list."""
    assert len(recorded.written) > 10
    for text in (CARD, CARD[:8], CARD[8:], MENU):
        codes = bytes(KEYS.index(key) for key in text)
        forms = [text.encode(), text.encode("utf-16-le"), codes, codes.hex().encode()]
        forms += [separator.join(text).encode() for separator in (" ", ", ", ",", "-")]
        for name, data in recorded.written.items():
            assert not any(form in data for form in forms), name
