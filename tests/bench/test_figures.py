"""What is told of a run, and how it is worked out."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench import report
from bench.figures import Course, Figures, Percentiles, Taken, Window
from bench.suite import GROWTH, Measured, Row

KEYS = {
    "calls", "seconds", "cpu_ms_per_call_second", "floor_cpu_ms_per_call_second", "ratio", "lost", "rss_bytes_per_call",
    "ack_ms", "setup_ms",
}  # fmt: skip


def figures(calls: int = 100, lost: int = 0) -> Figures:
    course = Course(calls, 5)
    return Figures(
        course=course,
        gateway=[Window(5, {"control": 0.1, "worker": used}) for used in (0.9, 4.9, 1.1)],
        floor=[Window(5, {"floor": 0.1}), Window(5, {"floor": 0.5}), Window(5, {"floor": 0.1})],
        taken=Taken(1000, 1000 - lost, 0, 0, 20.0, 0, {"recorded": calls}),
        floor_missing=0,
        rss_base=1000,
        rss={calls // 2: 2000, calls: 1000 + 300 * calls},
        setup_ms=Percentiles.of([1.0, 2.0, 3.0]),
        ack_ms=Percentiles.of([]),
        tick_late_ms=5.0,
        ticks=1.0,
        bytes_per_second=1e6,
        flushes_per_second=1.0,
        flush_ms=3.0,
        sender_late_ms={"p50": 0.5, "p99": 1.0, "max": 2.0},
        sender_cost=0.5,
        load_average=1.0,
    )


def test_the_object_for_other_tools_has_these_names() -> None:
    summary = json.loads(json.dumps(figures(lost=7).summary()))
    assert set(summary) == KEYS
    assert set(summary["ack_ms"]) == set(summary["setup_ms"]) == {"p50", "p99"}
    assert summary["lost"] == 7
    assert summary["rss_bytes_per_call"] == 300
    assert summary["setup_ms"]["p50"] == 2.0


def test_the_ratio_is_the_median_of_pairs() -> None:
    """A pair whose both sides were disturbed counts like any other: its ratio is of one moment."""
    assert figures().ratio == 10.0
    assert figures().cost == pytest.approx(1000 * 1.2 / 100 / 5)


def test_results_are_written_for_people_and_programs(tmp_path: Path) -> None:
    rows = [Measured(Row(GROWTH, Course(calls, 5)), figures(calls)) for calls in (50, 100)]
    written = report.write(rows, None, tmp_path)
    told = json.loads((tmp_path / "results.json").read_text())
    assert [run["calls"] for run in told["runs"]] == [50, 100]
    for path in written:
        if path.suffix == ".svg":
            ElementTree.fromstring(path.read_text())  # noqa: S314 our own
            assert f"]({path.name})" in (tmp_path / "results.md").read_text()


def test_what_is_told_of_others_and_of_the_tap(tmp_path: Path) -> None:
    course = Course(100, 5, tap=True, peers=True)
    found = replace(
        figures(),
        course=course,
        tap_dropped=0,
        peers={"sngrep": [Window(5, {"sngrep": used}) for used in (2.0, 10.0, 2.4)]},
        peers_sent={"sngrep": 1000},
        peers_kept={"sngrep": 600},
    )
    report.write([Measured(Row("mirrored port", course), found)], None, tmp_path)
    told = (tmp_path / "results.md").read_text()
    assert "mirrored port, 100 calls: the kernel dropped no frames." in told
    assert "sngrep costs 2.00 times the gateway and did not keep 40 % of the packets." in told
    assert "not installed, and so not measured: tcpdump." in told
    (run,) = json.loads((tmp_path / "results.json").read_text())["runs"]
    assert run["peers"] == {"sngrep": {"sent": 1000, "kept": 600}}
    assert run["tap_dropped"] == 0
