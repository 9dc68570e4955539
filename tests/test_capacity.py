"""The model of what a machine can take."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.capacity import (
    CALL_BYTES,
    CONTROL_MS,
    MEAN_CALL_SECONDS,
    REFERENCE,
    SETUP_MS,
    STORED_BYTES,
    WIRE_BITS,
    Costs,
    Parts,
    bounds,
    call_bytes,
    needs,
    slope,
)

COSTS = Costs(idle_ms=20.0, tick_ms=0.4, worker_ms=0.44, pace=1.0, disk_bytes=500e6)
PARTS = Parts(
    cores=4,
    workers=3,
    busy_share=0.9,
    memory=32 << 30,
    open_files=65_536,
    other_files=512,
    ports=20_000,
    hold_back_seconds=5.0,
    link_bits=10_000_000_000,
)


def bound(parts: Parts, what: str, costs: Costs | None = COSTS) -> int:
    (found,) = [each.calls for each in bounds(parts, costs) if each.what == what]
    return found


def test_the_first_binds() -> None:
    found = bounds(PARTS, COSTS)
    assert [each.calls for each in found] == sorted(each.calls for each in found)
    assert bounds(replace(PARTS, ports=100), COSTS)[0].what == "RTP ports"
    assert bounds(replace(PARTS, memory=1 << 30), COSTS)[0].what == "memory"
    assert bounds(replace(PARTS, open_files=1024), COSTS)[0].what == "open files"
    assert bounds(replace(PARTS, link_bits=10_000_000), COSTS)[0].what == "network"
    assert bounds(PARTS, replace(COSTS, disk_bytes=1e6))[0].what == "disk"
    assert bounds(replace(PARTS, workers=1), COSTS)[0].what == "media workers"
    assert bounds(replace(PARTS, cores=1), COSTS)[0].what == "cores"


def test_each_is_counted_as_documented() -> None:
    assert bound(PARTS, "media workers") == int(3 * (900 - 20) / 0.4)
    assert bound(PARTS, "RTP ports") == 10_000
    assert bound(PARTS, "network") == int(0.9 * 10e9 / 190_400)
    assert bound(replace(PARTS, workers=1), "open files") == (65_536 - 128) // 3
    assert bound(PARTS, "open files") == (65_536 - 128 - 512) // 2
    assert bound(PARTS, "disk") == int(0.5 * 500e6 / 16_400)


def test_what_is_not_known_binds_nothing() -> None:
    unknown = replace(PARTS, memory=None, open_files=None, link_bits=None)
    assert {each.what for each in bounds(unknown, None)} == {"RTP ports"}
    assert "media workers" not in {each.what for each in bounds(PARTS, replace(COSTS, tick_ms=0.0))}


@given(
    st.sampled_from(["idle_ms", "tick_ms", "worker_ms", "pace"]),
    st.floats(1.0, 100.0),
    st.integers(1, 64),
)
def test_dearer_calls_are_never_more(what: str, times: float, cores: int) -> None:
    parts = replace(PARTS, cores=cores, workers=max(1, cores - 1))
    dearer = replace(COSTS, **{what: times * getattr(COSTS, what)})
    assert bounds(parts, dearer)[0].calls <= bounds(parts, COSTS)[0].calls


@given(st.floats(0, 1000), st.floats(0.001, 10))
def test_a_line_through_two_measurements(base: float, each: float) -> None:
    found_base, found_each = slope(20, base + 20 * each, 200, base + 200 * each)
    assert found_base == pytest.approx(base, abs=1e-6)
    assert found_each == pytest.approx(each)


def test_noise_makes_nothing_negative() -> None:
    assert slope(20, 50.0, 200, 40.0) == (50.0, 0.0)
    assert slope(20, 1.0, 200, 200.0)[0] == 0.0


def test_what_waits_longer_takes_more_memory() -> None:
    assert call_bytes(1.0) == call_bytes(5.0) == CALL_BYTES
    assert call_bytes(20.0) == 4 * CALL_BYTES


PAGE = (Path(__file__).parent.parent / "docs" / "capacity.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("cores", "workers"), [(2, 1), (2, 2), (4, 3), (64, 63)])
def test_the_page_says_what_the_model_says(cores: int, workers: int) -> None:
    unbounded = replace(PARTS, memory=None, open_files=None, link_bits=None, ports=1 << 30)
    first = bounds(replace(unbounded, cores=cores, workers=workers), REFERENCE)[0]
    assert f"\n| {cores} | {workers} | {first.calls:,} | {first.what} |\n" in PAGE


@pytest.mark.parametrize(("calls", "workers"), [(1000, 1), (2500, 1), (8000, 3)])
def test_the_page_says_what_calls_need(calls: int, workers: int) -> None:
    asked = needs(calls, workers)
    row = (
        f"| {calls:,} | {workers} | {asked.sockets:,} | {asked.ports:,} | {asked.control_files:,}, {asked.worker_files:,} "
        f"| {asked.memory / 1e9:.1f} GB | {asked.stored / 1e6:.0f} MB/s | {asked.wire_bits / 1e9:.2f} Gbit/s |\n"
    )
    assert row in PAGE


def test_the_page_names_the_constants() -> None:
    assert f"pace * ({CONTROL_MS:g} + {SETUP_MS:g} / {MEAN_CALL_SECONDS:g})" in PAGE
    assert f"/ {STORED_BYTES:,}`" in PAGE
    assert f"/ {WIRE_BITS:,}`" in PAGE
    given = f"`idle` {REFERENCE.idle_ms:g}, `tick` {REFERENCE.tick_ms:g}, `worker` {REFERENCE.worker_ms:g}"
    assert given in PAGE


def test_what_is_needed_is_what_binds() -> None:
    """A machine that has just what so many calls need takes just as many."""
    asked = needs(3000, 3)
    parts = replace(
        PARTS, memory=asked.memory, ports=asked.ports // 2, link_bits=asked.wire_bits * 10 // 9 + 1
    )
    found = {each.what: each.calls for each in bounds(parts, None)}
    assert found["memory"] == found["RTP ports"] == found["network"] == 3000
    alone = replace(PARTS, workers=1, other_files=0, open_files=needs(3000, 1).worker_files)
    assert bound(alone, "open files", None) == 3000
