"""`replay`: captures become recordings; tshark says what is in a capture."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from gateway.io import replay, replaying
from gateway.storage.vault import Vault
from tests.cli.conftest import Hushtap
from tests.cli.replays import audio, lost_bye, replayed, write
from tests.tap.building import ethernet, ipv4, tcp
from tests.tap.captures import pcap
from tests.tap.telephony import CALLEE, CALLER, SECOND, START, Telephones, whole_call

pytestmark = pytest.mark.usefixtures("unmeasured")


def tshark(path: str, only: str, *fields: str) -> list[list[str]]:
    named = [word for field in fields for word in ("-e", field)]
    command = ["tshark", "-r", path, "-o", "rtp.heuristic_rtp:TRUE", "-Y", only, "-T", "fields", *named]
    output = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout
    return [line.split("\t") for line in output.splitlines()]


def payload_by_tshark(path: str, source: str) -> bytes:
    rows = tshark(path, f"rtp && ip.src == {source} && rtp.p_type == 8", "rtp.payload")
    return b"".join(bytes.fromhex(row[0].replace(":", "")) for row in rows)


def test_a_call_is_recorded_as_tshark_sees_it(hushtap: Hushtap) -> None:
    path = write("one.pcap", [whole_call(3.0)])
    (call,) = replayed(hushtap, path)
    assert (call["state"], call["reason"], call["direction"]) == ("recorded", "a party hung up", "inbound")
    assert call["started"] == "2026-01-05T08:00:00.001000Z"
    assert call["participants"][0]["number"] == "+15551230001"
    assert [(leg["packets"], leg["lost"], leg["codec"]) for leg in call["legs"]] == [(150, 0, "PCMA")] * 2
    assert audio(hushtap, call) == [payload_by_tshark(path, CALLER), payload_by_tshark(path, CALLEE)]
    assert hushtap("verify", "--all").status == 0


def test_the_list_needs_no_private_key_and_then_has_no_numbers(hushtap: Hushtap) -> None:
    path = write("one.pcap", [whole_call(1.0)])
    shown = hushtap("replay", path)
    assert "+15551230001" in shown.out
    assert "a party hung up" in shown.out
    assert "1 calls in 106 packets, 6 of SIP" in shown.err
    Path("hushtap-data/keys/vault.key").rename("elsewhere")
    hidden = hushtap("replay", path)
    assert hidden.status == 0, hidden.err
    assert "5551230001" not in hidden.out
    assert "a party hung up" in hidden.out


def test_the_same_every_time(hushtap: Hushtap) -> None:
    calls = [
        whole_call(
            2.0,
            name=f"call{place}",
            ports=(40_000 + 2 * place, 50_000 + 2 * place),
            now=START + place * SECOND,
        )
        for place in range(5)
    ]
    calls[1].press(0, 5)
    path = write("many.pcap", calls)
    first, second = replayed(hushtap, path), replayed(hushtap, path)
    heard = [[audio(hushtap, call) for call in calls] for calls in (first, second)]
    assert heard[0] == heard[1]
    own = ("id", "recordings")
    plain = [
        [{key: each[key] for key in each if key not in own} for each in rows] for rows in (first, second)
    ]
    assert plain[0] == plain[1]
    assert len(first) == 5


def test_lost_packets_are_counted_as_tshark_counts_them(hushtap: Hushtap) -> None:
    call = whole_call(4.0)
    gone = [frame for place, frame in enumerate(call.frames) if place % 17 or place < 20 or place > 390]
    Path("lossy.pcap").write_bytes(pcap(gone, nano=True))
    (row,) = replayed(hushtap, "lossy.pcap")
    command = ["tshark", "-r", "lossy.pcap", "-o", "rtp.heuristic_rtp:TRUE", "-q", "-z", "rtp,streams"]
    output = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    lines = [line.split() for line in output.splitlines() if "g711A" in line]
    counted = {line[2]: (int(line[8]), int(line[9])) for line in lines}
    assert [(leg["packets"], leg["lost"]) for leg in row["legs"]] == [counted[CALLER], counted[CALLEE]]
    assert all(leg["lost"] > 5 for leg in row["legs"])


def test_keys_are_masked_and_counted_as_events(hushtap: Hushtap) -> None:
    call = Telephones()
    call.establish()
    for digit in (1, 2, 11):
        call.talk(1.0)
        call.press(0, digit)
    call.talk(1.0)
    call.hang_up()
    path = write("keys.pcap", [call])
    (row,) = replayed(hushtap, path)
    masks = [each for each in row["redactions"] if each["cause"] == "dtmf"]
    marked = tshark(path, "rtpevent && rtp.marker == 1", "rtpevent.event_id")
    assert len(masks) == len(marked) == 3
    assert b"".join(audio(hushtap, row)[:1]) != bytes(call.sent[0])
    assert audio(hushtap, row)[1] == bytes(call.sent[1])


def test_keys_under_an_ssrc_of_their_own_are_masked(hushtap: Hushtap) -> None:
    """As gateways send them that learned of the key elsewhere, and generators of calls."""
    call = Telephones()
    call.establish()
    call.talk(1.0)
    packets, ssrc = call._packets[0], call._ssrc[0]
    call._packets[0], call._ssrc[0] = 9000, 0x0E05_384E
    call.press(0, 1)
    call._packets[0], call._ssrc[0] = packets, ssrc
    call.talk(1.0)
    call.hang_up()
    (row,) = replayed(hushtap, write("keys.pcap", [call]))
    (mask,) = (each for each in row["redactions"] if each["cause"] == "dtmf")
    assert mask["start"] == pytest.approx(2.0, abs=0.1)
    assert mask["end"] - mask["start"] == pytest.approx(0.18, abs=0.03)


def test_the_card_rule_pauses_as_it_does_live(hushtap: Hushtap, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the gateway's own ticks as with the rarer ones of a replay; it ends to the slice of half a second."""
    call = Telephones()
    call.establish()
    call.talk(3.3)
    for digit in (4, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 11):
        call.press(0, digit)
        call.talk(0.26)
    call.talk(20.0)
    call.hang_up()
    path = write("card.pcap", [call])
    rows = replayed(hushtap, path)
    monkeypatch.setattr(replaying, "TICK_NS", replaying.FINE_NS)
    monkeypatch.setattr(replay, "TICK_NS", replaying.FINE_NS)
    rows += replayed(hushtap, path)
    assert [each["cause"] for each in rows[0]["redactions"] if each["cause"] != "dtmf"] == ["card"]
    ends = [[each.pop("end") for each in row["redactions"]] for row in rows]
    assert ends[0] == pytest.approx(ends[1], abs=0.5)
    assert rows[0]["redactions"] == rows[1]["redactions"]


def test_hold_early_media_and_tcp(hushtap: Hushtap) -> None:
    call = Telephones(over_tcp=True)
    call.invite()
    call.answer("183 Session Progress")
    call.talk(1.0, sides=(1,))
    call.answer()
    call.say(0, "ACK")
    call.talk(1.0)
    call.invite(call.description(0, "sendonly"))
    call.answer(body=call.description(1, "recvonly"))
    call.say(0, "ACK")
    call.now += 2 * SECOND
    call.invite(call.description(0))
    call.answer()
    call.say(0, "ACK")
    call.talk(1.0)
    call.hang_up(1)
    (row,) = replayed(hushtap, write("hold.pcap", [call]))
    assert (row["state"], row["reason"]) == ("recorded", "a party hung up")
    assert audio(hushtap, row) == [bytes(call.sent[0]), bytes(call.sent[1])]


def test_calls_that_use_the_same_ports_one_after_the_other(hushtap: Hushtap) -> None:
    first = whole_call(1.0, name="first")
    second = whole_call(1.0, name="second", now=first.now + SECOND)
    rows = replayed(hushtap, write("again.pcap", [first, second]))
    for call, row in zip((first, second), rows, strict=True):
        assert [leg["packets"] for leg in row["legs"]] == [50, 50]
        assert audio(hushtap, row) == [bytes(call.sent[0]), bytes(call.sent[1])]


def test_audio_before_its_answer_is_there(hushtap: Hushtap) -> None:
    call = Telephones()
    call.invite()
    call.answer("180 Ringing")
    call.talk(0.5, sides=(1,))
    call.answer()
    call.say(0, "ACK")
    call.talk(1.0)
    call.hang_up()
    (row,) = replayed(hushtap, write("early.pcap", [call]))
    assert audio(hushtap, row) == [bytes(call.sent[0]), bytes(call.sent[1])]


def test_audio_before_an_answer_that_was_not_announced_is_the_calls_own(hushtap: Hushtap) -> None:
    """The answer tells where it went; what went there before the call is not its audio."""
    before, call = Telephones(name="before"), Telephones(now=START + 3 * SECOND)
    before.talk(2.5, sides=(1,))
    call.invite()
    call.answer("180 Ringing")
    call.talk(4.0, sides=(1,))
    call.answer()
    call.say(0, "ACK")
    call.talk(1.0)
    call.hang_up()
    (row,) = replayed(hushtap, write("ringing.pcap", [before, call]))
    assert audio(hushtap, row) == [bytes(call.sent[0]), bytes(call.sent[1])]


def test_a_pause_asked_for_in_the_signalling_is_kept(hushtap: Hushtap) -> None:
    Path("other.toml").write_text('[optout]\noff_headers = ["X-Record: no"]\n', encoding="utf-8")
    call = Telephones()
    call.invite(fields="X-Record: no\r\n")
    call.answer()
    call.say(0, "ACK")
    call.talk(1.0)
    call.hang_up()
    rows = hushtap("replay", "--config", "other.toml", "--json", write("no.pcap", [call])).json
    assert [row["state"] for row in rows] == ["not_recorded"]


def refused() -> Telephones:
    call = Telephones(name="busy")
    call.invite()
    call.answer("486 Busy Here")
    call.say(0, "ACK")
    return call


def cancelled() -> Telephones:
    call = Telephones(name="cancelled")
    call.invite()
    call.answer("180 Ringing")
    call.say(0, "CANCEL")
    call.say(1, "SIP/2.0 200 OK", method="CANCEL")
    call.answer("487 Request Terminated")
    call.say(0, "ACK")
    return call


def midway() -> Telephones:
    """The capture begins when the call has been running; a re-INVITE tells of it."""
    call = Telephones(name="midway")
    call.establish()
    call.frames.clear()
    call.talk(1.0)
    call.invite()
    call.answer()
    call.say(0, "ACK")
    call.talk(1.0)
    call.hang_up()
    return call


def secret() -> Telephones:
    return whole_call(1.0, name="secret", profile="RTP/SAVP")


def of_media(name: str, *lines: str) -> Telephones:
    """A call that both sides describe by these lines, with its audio under a number that nobody explains."""
    call = Telephones(name=name)
    head = "v=0\r\no=- 1 1 IN IP4 {0}\r\ns=-\r\nc=IN IP4 {0}\r\nt=0 0\r\n"
    bodies = [head.format(address) + "".join(f"{line}\r\n" for line in lines) for address in call.addresses]
    call.invite(bodies[0])
    call.answer(body=bodies[1])
    call.say(0, "ACK")
    call.talk(0.5)
    call.hang_up()
    return call


@pytest.mark.parametrize(
    ("call", "state", "reason"),
    [
        (
            of_media("lpc", "m=audio 40000 RTP/AVP 7 101", "a=rtpmap:101 telephone-event/8000"),
            "not_recorded",
            "no codec that can be recorded was agreed, only LPC/8000",
        ),
        (
            of_media(
                "evs", "m=audio 40000 RTP/AVP 96 97 98 15", "a=rtpmap:96 EVS/16000", "a=rtpmap:97 SILK/24000"
            ),
            "not_recorded",
            "no codec that can be recorded was agreed, only EVS/16000, SILK/24000, G728/8000 and payload type 98",
        ),
        (
            of_media("film", "m=video 40000 RTP/AVP 96", "a=rtpmap:96 H264/90000"),
            "not_recorded",
            "the signalling told of no audio, only of video",
        ),
        (
            of_media("fax", "m=image 40000 udptl t38", "a=T38FaxVersion:0"),
            "not_recorded",
            "the signalling told of no audio, only of T.38 fax",
        ),
        (
            of_media("odd", "m=au\x1bdio 40000 RTP/AVP 0"),
            "not_recorded",
            "the signalling told of no audio, only of something that is no media",
        ),
        (refused(), "not_recorded", "the call was refused with 486"),
        (cancelled(), "not_recorded", "the caller hung up before the call was answered"),
        (lost_bye(), "recorded", "the capture ended before the call did"),
        (midway(), "recorded", "a party hung up"),
        (secret(), "not_recorded", "the audio is SRTP whose keys the signalling does not tell"),
    ],
)
def test_every_call_is_explained(hushtap: Hushtap, call: Telephones, state: str, reason: str) -> None:
    (row,) = replayed(hushtap, write("call.pcap", [call]))
    assert row["state"] == state
    assert reason in row["reason"]


def test_a_codec_that_is_not_known_costs_only_its_time(hushtap: Hushtap) -> None:
    """And a fax in mid-call none: both are told of."""
    call = Telephones()
    call.establish()
    call.talk(1.0)
    lpc = [
        call.description(side).replace("AVP 8 101", "AVP 7").replace("rtpmap:8 PCMA", "rtpmap:7 LPC")
        for side in (0, 1)
    ]
    for bodies in (
        lpc,
        [text.replace("m=audio", "m=image").replace("RTP/AVP 7", "udptl t38") for text in lpc],
    ):
        call.invite(bodies[0])
        call.answer(body=bodies[1])
        call.say(0, "ACK")
        for _ in range(50):
            for side in (0, 1):
                call._rtp(side, bytes(14), 7, 160 * call._packets[side])
            call.now += SECOND // 50
    call.invite()
    call.answer()
    call.say(0, "ACK")
    call.talk(1.0)
    call.hang_up()
    (row,) = replayed(hushtap, write("changes.pcap", [call]))
    assert row["state"] == "partial"
    assert "no codec that can be recorded was agreed, only LPC/8000" in row["reason"]
    assert "besides audio there was T.38 fax, which is not recorded" in row["notes"]
    for heard, sent in zip(audio(hushtap, row), map(bytes, call.sent), strict=True):
        assert heard.startswith(sent[:8000])
        assert sent.endswith(heard[8000:])
        assert len(sent) - len(heard) < 160  # the moment at which the lines are open again


def test_names_that_are_not_utf_8_cost_no_call(hushtap: Hushtap) -> None:
    """Old telephone systems write ISO 8859-1; what is none of both is kept as that."""
    call = whole_call(1.0, numbers=("m\xfcller", "2\x9331"), encoding="latin-1")
    (row,) = replayed(hushtap, write("names.pcap", [call]))
    assert row["state"] == "recorded"
    assert [each["number"] for each in row["participants"]] == ["m\xfcller", "2\x9331"]


def test_a_name_does_not_steer_the_terminal(hushtap: Hushtap) -> None:
    path = write("names.pcap", [whole_call(1.0, numbers=("%1b%5b31mred%0a%07", "231"))])
    shown = hushtap("replay", path).out
    assert "red" in shown
    assert all(each.isprintable() for each in shown.replace("\n", ""))
    assert len(shown.splitlines()) == 2
    (row,) = hushtap("calls", "--json").json
    assert not hushtap("show", row["id"]).out.count("\x1b")


def test_sip_over_tls_is_told(hushtap: Hushtap) -> None:
    frame = ethernet(
        ipv4(tcp(b"\x16\x03\x01\x00\x05hello", 1, 0x18, 40_000, 5061), CALLER, CALLEE, protocol=6)
    )
    Path("tls.pcap").write_bytes(pcap([(START, frame)]))
    outcome = hushtap("replay", "tls.pcap")
    assert outcome.status == 0
    assert "SIP over TLS in 1 connections: the calls in it cannot be read" in outcome.err


def test_a_gateway_that_records_into_the_same_folder_keeps_it(hushtap: Hushtap) -> None:
    path = write("one.pcap", [whole_call(1.0)])
    replayed(hushtap, path)
    with Vault(Path("hushtap-data")).exclusive():
        outcome = hushtap("replay", path)
    assert outcome.status == 2
    assert "another process writes to this vault; stop the gateway first" in outcome.err
    assert not outcome.out


def test_figures_of_speech_come_with_the_call(hushtap: Hushtap) -> None:
    rows = hushtap("replay", "--config", "/dev/null", "--json", write("one.pcap", [whole_call(1.0)])).json
    assert [item["role"] for item in rows[0]["speech"]] == ["external", "agent"]
