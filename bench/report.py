"""Results for people and programs: a table, JSON, Markdown, plots."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.beside import known
from bench.churn import Gone
from bench.figures import Figures
from bench.plots import plot
from bench.suite import GROWTH, MISSING, Measured

KIB = 1024

# Of each column the heading, and what stands in it.
COLUMNS: Mapping[str, Callable[[Figures], str]] = {
    "calls": lambda f: str(f.course.calls),
    "CPU": lambda f: f"{f.cost:.3f}",
    "floor": lambda f: f"{f.floor_cost:.3f}",
    "ratio": lambda f: f"{f.ratio:.2f}",
    "lost": lambda f: str(f.taken.missing),
    "KiB a call": lambda f: f"{f.rss_per_call / KIB:.0f}",
    "set-up": lambda f: f"{_figure(f.setup_ms.p50)} / {_figure(f.setup_ms.p99)}",
    "pause": lambda f: f"{_figure(f.ack_ms.p50)} / {_figure(f.ack_ms.p99)}",
    "tick late": lambda f: f"{_figure(f.tick_late_ms)}{' (behind)' if f.behind else ''}",
    "kB/s": lambda f: f"{f.bytes_per_second / 1000:.0f}",
    "flushes": lambda f: f"{f.flushes_per_second:.1f}/s, {f.flush_ms:.0f} ms",
    "load average": lambda f: f"{f.load_average:.1f}",
}
LEGEND = (
    "CPU and floor: milliseconds of processor time, user and system, of all processes per second of one call. "
    "Ratio: of the pairs of windows the median. Lost: packets delivered that are in no recording. "
    "Set-up and pause: milliseconds to the answer, p50 / p99. Tick late: milliseconds, at most; behind: the machine had so "
    "much else to do that work was put off and the row says little. "
    "Load average: of the whole machine in the last window."
)


def show(rows: Sequence[Measured], gone: Gone | None, console: Console) -> None:
    table = Table("load", title="What recording costs")
    for name in COLUMNS:
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(row.row.name, *(text(row.figures) for text in COLUMNS.values()))
    console.print(table)
    console.print(LEGEND)
    for line in _beside(rows):
        console.print(line)
    if gone:
        console.print(_come_and_go(gone))
    for missing in MISSING:
        console.print(f"Not measured: {missing}.")


def write(rows: Sequence[Measured], gone: Gone | None, folder: Path) -> list[Path]:
    """The files of one benchmark; those of an earlier one are replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = {"results.json": _json(rows, gone), "results.md": _markdown(rows, gone), **_plots(rows)}
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in texts]


def machine() -> dict[str, object]:
    """On what it was measured."""
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        if line.startswith("model name")
    ]
    return {
        "processor": names[0] if names else platform.machine(),
        "cores": os.cpu_count(),
        "kernel": platform.release().partition("-")[0],
        "python": platform.python_version(),
        "measured": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
    }


def _json(rows: Sequence[Measured], gone: Gone | None) -> str:
    found = [
        {
            "load": row.row.name,
            **row.figures.summary(),
            "cpu_ms_per_call_second_by_process": row.figures.by_process(),
            "floor_lost": row.figures.floor_missing,
            "rss_base_bytes": row.figures.rss_base,
            "rss_bytes": row.figures.rss,
            "tick_late_ms": row.figures.tick_late_ms,
            "ticks": row.figures.ticks,
            "behind": row.figures.behind,
            "bytes_per_second": row.figures.bytes_per_second,
            "flushes_per_second": row.figures.flushes_per_second,
            "flush_ms": row.figures.flush_ms,
            "generator": {
                "late_ms": row.figures.sender_late_ms,
                "cpu_ms_per_call_second": row.figures.sender_cost,
            },
            "packets": asdict(row.figures.taken),
            "tap_dropped": row.figures.tap_dropped,
            "peers": {
                name: {"sent": row.figures.peers_sent[name], "kept": row.figures.peers_kept[name]}
                for name in row.figures.peers
            },
            "windows": {
                "gateway": [asdict(window) for window in row.figures.gateway],
                "floor": [asdict(window) for window in row.figures.floor],
                **{name: [asdict(window) for window in each] for name, each in row.figures.peers.items()},
            },
            "load_average": row.figures.load_average,
            "course": asdict(row.figures.course),
        }
        for row in rows
    ]
    told = {
        "machine": machine(),
        "runs": found,
        "coming_and_going": asdict(gone) if gone else None,
        "not_measured": MISSING,
    }
    return json.dumps(told, indent=1) + "\n"


def _markdown(rows: Sequence[Measured], gone: Gone | None) -> str:
    facts = machine()
    place = (
        f"{facts['processor']}, {facts['cores']} cores, Linux {facts['kernel']}, Python {facts['python']}, "
        f"{facts['measured']}. Made by `hushtap bench`."
    )
    lines = [
        "# What recording costs",
        "",
        place,
        "",
        f"| load | {' | '.join(COLUMNS)} |",
        f"|---|{'---:|' * len(COLUMNS)}",
        *(
            f"| {row.row.name} | {' | '.join(text(row.figures) for text in COLUMNS.values())} |"
            for row in rows
        ),
        "",
        LEGEND,
        "",
        *(f"{line}\n" for line in _beside(rows)),
        *([_come_and_go(gone), ""] if gone else []),
        *(f"- Not measured: {missing}." for missing in MISSING),
        "",
        *(f"![]({name})" for name in _plots(rows)),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _plots(rows: Sequence[Measured]) -> dict[str, str]:
    """Over the number of calls, where there is more than one of it."""
    grown = [row.figures for row in rows if row.row.name == GROWTH]
    if len(grown) < 2:
        return {}

    def points(value: Callable[[Figures], float]) -> list[tuple[float, float]]:
        return [(f.course.calls, value(f)) for f in grown]

    memory = {"gateway": points(lambda f: max(f.rss.values()) / KIB / KIB)}
    setup = {
        "p50": points(lambda f: f.setup_ms.p50 or 0.0),
        "p99": points(lambda f: f.setup_ms.p99 or 0.0),
    }
    cpu = {"gateway": points(lambda f: f.cost), "floor": points(lambda f: f.floor_cost)}
    return {
        "cpu.svg": plot("CPU milliseconds per call-second", "calls", cpu),
        "memory.svg": plot("Memory in use, MiB", "calls", memory),
        "setup.svg": plot("Set-up, ms", "calls", setup),
    }


def _beside(rows: Sequence[Measured]) -> list[str]:
    """What a tap was not given, and what peers cost in the same run."""
    return [line for row in rows for line in (*_dropped(row), *_peers(row))]


def _dropped(row: Measured) -> Iterator[str]:
    if (count := row.figures.tap_dropped) is not None:
        yield f"{_what(row)}: the kernel dropped {count or 'no'} frames."


def _peers(row: Measured) -> Iterator[str]:
    for name in row.figures.peers:
        lost = row.figures.peer_loss(name)
        kept = f"did not keep {100 * lost:.2g} % of the packets" if lost else "kept every packet"
        yield f"{_what(row)}: {name} costs {row.figures.peer_ratio(name):.2f} times the gateway and {kept}."
    if missing := [name for name in known(row.row.course) if name not in row.figures.peers]:
        yield f"{_what(row)}: not installed, and so not measured: {', '.join(missing)}."


def _what(row: Measured) -> str:
    return f"{row.row.name}, {row.row.course.calls} calls"


def _come_and_go(gone: Gone) -> str:
    coming, setup = gone.coming, gone.setup_ms
    return (
        f"{gone.calls} calls of {coming.call_seconds:g} s, {coming.rate:g} set up a second for {coming.seconds:g} s: set-up "
        f"{_figure(setup.p50)} / {_figure(setup.p99)} ms, {gone.refused} refused, "
        f"{sum(gone.cpu_ms_per_call.values()):.1f} ms of processor time a call from its INVITE to what is worked out after "
        f"its end, {gone.taken.missing} packets lost, memory "
        f"{gone.rss_first / KIB / KIB:.0f} MiB once all went its way, {gone.rss_last / KIB / KIB:.0f} MiB at the end."
    )


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"
