"""Opt-outs and late pauses of running calls: what is kept, what is destroyed, also when the gateway is killed."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.end_to_end import judge
from tests.end_to_end.client import Client, Voice, both, metadata, sdp
from tests.end_to_end.controlled import PROGRAM, ask
from tests.end_to_end.gateway import Gateway, Json, until
from tests.ports import HOST

CALLS = 4
KILLED = 3  # times
LOOK_BACK = 0.5


def gateway_in(folder: Path, before: str) -> Gateway:
    settings: dict[str, dict[str, object]] = {
        "media": {"hold_back_seconds": 1.0},
        "redaction": {"look_back_seconds": LOOK_BACK},
        "optout": {"before": before},
        "speech": {"measure": False},
    }
    return Gateway(folder, settings, program=PROGRAM)


@contextmanager
def speaking(gateway: Gateway, numbers: list[str]) -> Iterator[list[list[Voice]]]:
    """Calls in which both parties speak until the block ends, which begins when some of it is stored."""
    voices = [[Voice(random.getrandbits(30)), Voice(random.getrandbits(30))] for _ in numbers]
    over = threading.Event()

    def call(number: str, mine: list[Voice]) -> None:
        with suppress(OSError), Client(gateway.server, number) as client:
            body, kind = both(sdp("12"), metadata([("c", number, "1"), ("a", "1001", "2")]))
            for voice, port in zip(mine, client.invite(body, kind).ports, strict=True):
                voice.target = (HOST, port)
            while not over.is_set():
                client.speak(0.2, *mine)
            client.request("BYE")

    with ThreadPoolExecutor(len(numbers)) as threads:
        runs = [threads.submit(call, *each) for each in zip(numbers, voices, strict=True)]
        try:
            until("some is stored", lambda: _stored(gateway) == len(numbers), 30)
            yield voices
        finally:
            over.set()
        for run in runs:
            run.result()


def _stored(gateway: Gateway) -> int:
    return sum(path.stat().st_size > 10_000 for path in parts(gateway))


def parts(gateway: Gateway) -> list[Path]:
    return list(gateway.storage.glob("audio/**/*.sealed"))


def keys(gateway: Gateway) -> list[Path]:
    return list(gateway.storage.glob("wrapped/*/*.json"))


def nothing_left(gateway: Gateway, call: Json) -> bool:
    """Fails unless files and keys are gone, and the proof is whole."""
    (folder,) = gateway.storage.glob(f"audio/*/*/*/{call['id']}")
    assert [path.name for path in folder.iterdir()] == ["call.json"]
    assert (call["state"], call["recordings"]) == ("not_recorded", [])
    discard = call["discard"]
    assert discard["done"]
    assert discard["cause"] == "opt_out"
    for recording in discard["recordings"]:
        assert recording["key_destroyed"]
        assert not list(gateway.storage.glob(f"wrapped/*/{recording['id']}.json"))
    assert "opted out" in call["reason"]
    return True


def test_a_discard_leaves_only_its_proof(tmp_path: Path) -> None:
    with gateway_in(tmp_path, "discard") as gateway:
        with speaking(gateway, ["+15559990001"]):
            assert set(ask(tmp_path, "opt_out", reason="distress").values()) == {"applied"}
            until("it is gone", lambda: not parts(gateway) and not keys(gateway))
            running = gateway.calls()[0]
            assert running["state"] == "recording"
            sizes = [part["bytes"] for each in running["discard"]["recordings"] for part in each["parts"]]
        gateway.wait_idle()
        call = gateway.call_of("+15559990001")
        assert nothing_left(gateway, call)
        assert call["discard"]["actor"] == "t1"
        assert call["discard"]["reason"] == "distress"
        assert "by the agent: distress; what was recorded before was destroyed" in call["reason"]
        assert sizes
        assert min(sizes) > 0
        assert gateway.metric("hushtap_discarded_calls_total") == 1
        shown = gateway.run("show", call["id"]).out
        assert call["discard"]["recordings"][0]["parts"][0]["sha256"] in shown
        assert gateway.terminate() == 0
        assert gateway.run("reindex").code == 0
        assert gateway.call_of("+15559990001") == call
        (verdict,) = gateway.verify()
        assert verdict["ok"]
        assert verdict["note"] == "discarded"


def test_an_opt_out_keeps_what_was_before(tmp_path: Path) -> None:
    with gateway_in(tmp_path, "keep") as gateway:
        with speaking(gateway, ["+15559990002"]) as ((voice, _),):
            sent = len(voice.sent)
            assert set(ask(tmp_path, "opt_out").values()) == {"applied"}
            asked = len(voice.sent)
        gateway.wait_idle()
        call = gateway.call_of("+15559990002")
        assert call["state"] == "partial"
        assert call["reason"].startswith("opted out at ")
        assert call["reason"].endswith(" s by the agent")
        legs = judge.legs(judge.plaintexts(gateway.storage, call["recordings"][0]))
        kept = bytes(octet for octet in legs["external"].tolist() if octet >= 0)
        assert voice.sent.startswith(kept)
        before = LOOK_BACK * judge.SECOND
        assert sent - before - 3200 <= len(kept) <= asked - before + 1600
        assert [redaction["end_cause"] for redaction in call["redactions"]] == ["ended"]
        assert all(verdict["ok"] for verdict in gateway.verify())


def test_what_a_pause_came_too_late_for_is_cut_after_the_end(tmp_path: Path) -> None:
    with gateway_in(tmp_path, "keep") as gateway:
        with speaking(gateway, ["+15559990003"]) as ((voice, _),):
            paused = len(voice.sent)
            told = ask(tmp_path, "pause", ago_ns=2_000_000_000)
            assert set(told.values()) == {"late"}
            (running,) = gateway.calls()
            assert {cut["done"] for cut in running["cuts"]} == {None}  # one, or one a leg where one was ahead
            old = {path.name: path.read_bytes() for path in parts(gateway)}
            ask(tmp_path, "resume")
        gateway.wait_idle()
        until("it is cut", lambda: gateway.metric("hushtap_cuts_total", outcome="done") == 1, 30)
        call = gateway.call_of("+15559990003")
        assert all(cut["done"] for cut in call["cuts"])
        (recording,) = call["recordings"]
        assert not any(name.startswith(recording["id"]) for name in old)
        assert [path.name.split(".")[0] for path in parts(gateway)] == [recording["id"]]
        assert [path.stem for path in keys(gateway)] == [recording["id"]]
        plain = b"".join(judge.plaintexts(gateway.storage, recording))
        gone = voice.sent[paused - 8000 : paused - 800]
        assert not any(gone[at : at + 40] in plain for at in range(0, len(gone) - 40, 80))
        assert all(verdict["ok"] for verdict in gateway.verify())
        rewrite = call["rewrites"][0]
        assert rewrite["after"][0]["sha256"] == recording["parts"][0]["sha256"]


def test_a_cut_that_a_crash_left_pending_is_carried_out_with_the_private_key(tmp_path: Path) -> None:
    gateway = gateway_in(tmp_path, "keep")
    with gateway, speaking(gateway, ["+15559990004"]) as ((voice, _),):
        paused = len(voice.sent)
        assert set(ask(tmp_path, "pause", ago_ns=2_000_000_000).values()) == {"late"}
        gateway.kill()
    gateway.start()
    try:
        call = gateway.call_of("+15559990004")
        assert {cut["done"] for cut in call["cuts"]} == {None}
        assert [verdict["note"] for verdict in gateway.verify()] == [f"cuts pending: {len(call['cuts'])}"]
        gone = judge.decode(voice.sent[paused - 8000 : paused - 800], "PCMA")
        exported = gateway.export(call["id"])[:, 0].tobytes()
        assert not any(gone[at : at + 40].tobytes() in exported for at in range(0, len(gone) - 40, 80))
        assert gateway.run("cut", "--pending").code == 0  # while the gateway runs
        call = gateway.call_of("+15559990004")
        assert call["cuts"][0]["done"]
        plain = b"".join(judge.plaintexts(gateway.storage, call["recordings"][0]))
        octets = voice.sent[paused - 8000 : paused - 800]
        assert not any(octets[at : at + 40] in plain for at in range(0, len(octets) - 40, 80))
        assert all(verdict["ok"] for verdict in gateway.verify())
    finally:
        gateway.kill()


@pytest.mark.parametrize("moment", range(KILLED))
def test_killed_at_any_moment_an_opt_out_that_was_answered_leaves_nothing(
    tmp_path: Path, moment: int
) -> None:
    gateway = gateway_in(tmp_path, "discard")
    numbers = [f"+1555998{moment}{index:03}" for index in range(CALLS)]
    answered: dict[str, str] = {}

    def opt_out() -> None:
        with suppress(OSError):
            answered.update(ask(tmp_path, "opt_out"))

    with gateway, speaking(gateway, numbers):
        asking = threading.Thread(target=opt_out)
        asking.start()
        asking.join(random.random() * 0.2)  # it is at any point of its work then
        gateway.kill()
        asking.join()
    gateway.start()
    try:
        calls = gateway.calls()
        assert len(calls) == CALLS
        for call in calls:
            if call["discard"]:
                assert nothing_left(gateway, call)
            else:
                assert call["id"] not in answered
                assert call["recordings"][0]["state"] == "recovered"
        assert all(verdict["ok"] for verdict in gateway.verify())
    finally:
        gateway.kill()


def test_killed_after_the_answer_nothing_is_left(tmp_path: Path) -> None:
    gateway = gateway_in(tmp_path, "discard")
    numbers = [f"+1555997{index:04}" for index in range(CALLS)]
    with gateway, speaking(gateway, numbers):
        assert set(ask(tmp_path, "opt_out").values()) == {"applied"}
        gateway.kill()
    gateway.start()
    try:
        assert all(nothing_left(gateway, call) for call in gateway.calls())
        assert parts(gateway) == keys(gateway) == []
        assert len(gateway.calls()) == CALLS
    finally:
        gateway.kill()
