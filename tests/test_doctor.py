"""What the doctor makes of a machine's facts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.capacity import Costs
from gateway.config.settings import Settings, parse
from gateway.doctor import Finding, Level, capacity, examine
from gateway.io.machine import KEY_NAMES, Folder, Machine, PortState

GOOD = Machine(
    cores=4,
    memory=4_000_000_000,
    open_files=65_536,
    may_lock_memory=True,
    may_listen=True,
    receive_buffer=212_992,
    receive_buffer_max=212_992,
    clock_synchronised=True,
    disk_free=2_000_000_000_000,
    folder=Folder(Path("calls"), exists=True, mode=0o700, ours=True, writable=True),
    keys=dict.fromkeys(KEY_NAMES, 0o600),
    sip_udp=PortState.FREE,
    sip_tcp=PortState.FREE,
    api=PortState.FREE,
    agents=0o600,
    api_key=None,
    gateway_running=False,
    rtp_ports_free=5000,
    rtp_ports=5000,
    link_bits=1_000_000_000,
    python="3.12.1",
    sqlite="3.53.4",
    libraries={"numpy": "2.1"},
)

COSTS = Costs(idle_ms=20.0, tick_ms=0.4, worker_ms=0.44, pace=1.0, disk_bytes=500e6)


def findings(machine: Machine, calls: int = 200) -> list[Finding]:
    return examine(machine, Settings(), calls)


def unwell(machine: Machine, calls: int = 200) -> list[tuple[str, Level]]:
    return [(f.check, f.level) for f in findings(machine, calls) if f.level is not Level.OK]


def test_a_good_machine_has_no_findings() -> None:
    assert unwell(GOOD) == []


@pytest.mark.parametrize(
    ("change", "check", "level"),
    [
        ({"memory": 400_000_000}, "memory", Level.FAULT),
        ({"open_files": 256}, "open files", Level.FAULT),
        ({"may_lock_memory": False}, "locked memory", Level.WARNING),
        ({"receive_buffer": 106_496}, "receive buffer", Level.WARNING),
        ({"clock_synchronised": False}, "clock", Level.WARNING),
        ({"clock_synchronised": None}, "clock", Level.WARNING),
        ({"disk_free": 100_000_000_000}, "disk", Level.WARNING),
        ({"disk_free": 1_000_000}, "disk", Level.FAULT),
        ({"folder": replace(GOOD.folder, mode=0o755)}, "folder", Level.WARNING),
        ({"folder": replace(GOOD.folder, ours=False)}, "folder", Level.WARNING),
        ({"folder": replace(GOOD.folder, writable=False)}, "folder", Level.FAULT),
        ({"sip_udp": PortState.IN_USE}, "SIP over UDP", Level.FAULT),
        ({"sip_tcp": PortState.NOT_ALLOWED}, "SIP over TCP", Level.FAULT),
        ({"sip_tcp": PortState.NO_SUCH_ADDRESS}, "SIP over TCP", Level.FAULT),
        ({"api": PortState.IN_USE}, "API", Level.FAULT),
        ({"agents": 0o644}, "API tokens", Level.FAULT),
        ({"api_key": 0o640}, "API key", Level.FAULT),
        ({"rtp_ports_free": 399}, "RTP ports", Level.FAULT),
        ({"sqlite": "3.40.1"}, "SQLite", Level.FAULT),
        ({"sqlite": None}, "SQLite", Level.FAULT),
        ({"libraries": {"numpy": None}}, "libraries", Level.FAULT),
        ({"keys": {**GOOD.keys, "node": None}}, "key node", Level.FAULT),
        ({"keys": {**GOOD.keys, "lookup": 0o640}}, "key lookup", Level.FAULT),
    ],
)
def test_each_shortcoming_is_named_with_what_to_do(
    change: dict[str, object], check: str, level: Level
) -> None:
    machine = replace(GOOD, **change)  # type: ignore[arg-type]
    assert unwell(machine) == [(check, level)]
    (finding,) = (f for f in findings(machine) if f.level is level)
    assert finding.action


@pytest.mark.parametrize(
    "change",
    [
        {"open_files": None},
        {"api": None, "agents": None},
        {"keys": dict.fromkeys(KEY_NAMES)},
        {"keys": {**GOOD.keys, "vault_private": None, "vault_public": 0o644}},
        {"folder": replace(GOOD.folder, exists=False, mode=0o755)},
        {
            "gateway_running": True,
            "sip_udp": PortState.IN_USE,
            "sip_tcp": PortState.IN_USE,
            "api": PortState.IN_USE,
            "rtp_ports_free": 0,
        },
    ],
    ids=[
        "no limit",
        "no API",
        "no keys yet",
        "recorder without playback",
        "no folder yet",
        "gateway running",
    ],
)
def test_these_are_well(change: dict[str, object]) -> None:
    assert unwell(replace(GOOD, **change)) == []  # type: ignore[arg-type]


@pytest.mark.parametrize(("may", "level"), [(True, Level.OK), (False, Level.FAULT)])
def test_a_tap_needs_its_capability(may: bool, level: Level) -> None:
    settings = parse({"attach": [{"kind": "tap", "interfaces": ["eth1"]}]}, "test", Path())
    found = examine(replace(GOOD, may_listen=may), settings, 200)
    assert [each.level for each in found if each.check == "taps"] == [level]


def test_needs_grow_with_the_calls() -> None:
    small = replace(GOOD, open_files=2816)
    assert unwell(small, calls=200) == []
    assert unwell(small, calls=400) == [("open files", Level.FAULT)]
    assert ("RTP ports", Level.FAULT) in unwell(GOOD, calls=2501)


def test_tokens_are_not_to_be_overheard() -> None:
    def of(**api: object) -> list[str]:
        settings = Settings.model_validate({"api": api})
        return [f.check for f in examine(GOOD, settings, 10) if f.level is Level.WARNING]

    assert of(address="0.0.0.0") == ["API over TLS"]
    assert of(address="::1") == of(address="localhost") == []
    assert of(address="0.0.0.0", certificate="chain.pem", key="key.pem") == []


def test_workers_share_what_calls_need() -> None:
    def expected(check: str, workers: int) -> str:
        settings = Settings.model_validate({"media": {"workers": workers}, "api": {"port": 0}})
        (found,) = [f for f in examine(GOOD, settings, 1000) if f.check == check]
        return found.expected

    one, four, eight = (expected("open files", workers) for workers in (1, 4, 8))
    assert one == "3,128 for 1,000 calls"  # of the worker: two sockets and a file a call
    assert four == eight == "2,128 for 1,000 calls"  # of the control process, which has all sockets
    assert expected("memory", 1) == "531 MB for 1,000 calls and 1 media workers"


def test_more_workers_than_cores_are_warned_of() -> None:
    settings = Settings.model_validate({"media": {"workers": 5}})
    assert [f.check for f in examine(GOOD, settings, 200) if f.level is Level.WARNING] == ["media workers"]
    assert not [f for f in examine(GOOD, Settings(), 200) if f.level is Level.WARNING]


def test_it_says_how_many_calls_and_what_ends_first() -> None:
    settings = Settings.model_validate({"media": {"workers": 1}})
    found = capacity(GOOD, settings, 200, COSTS)
    assert found.calls == 2200  # (900 - 20) / 0.4
    assert found.found.startswith("can take about 2,200 calls: media workers end first; next RTP ports")
    assert (found.level, found.action) == (Level.OK, "")


def test_fewer_than_asked_for_is_a_warning_that_says_what_to_set() -> None:
    settings = Settings.model_validate({"media": {"workers": 1}})
    few = capacity(replace(GOOD, rtp_ports_free=300), settings, 200, COSTS)
    assert (few.level, few.calls) == (Level.WARNING, 150)
    assert "media.max_calls to 150" in few.action
    more = capacity(replace(GOOD, rtp_ports_free=300), settings, 100, COSTS)
    assert (more.level, more.action) == (Level.OK, "media.max_calls is 1,000: set it to 150")


def test_without_a_trial_the_rest_is_told() -> None:
    found = capacity(GOOD, Settings(), 200, None, "a gateway runs")
    assert found.calls == 2500
    assert "RTP ports end first" in found.found
    assert found.found.endswith("processor and disk left out: a gateway runs")


def test_a_link_counts_only_where_calls_come_over_it() -> None:
    slow = replace(GOOD, link_bits=10_000_000)
    outside = Settings.model_validate({"sip": {"address": "192.0.2.1"}})
    assert capacity(slow, outside, 10, COSTS).calls == 47
    assert capacity(slow, Settings(), 10, COSTS).calls == 2500
