"""What `hushtap bench` does with its options."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from bench import report, suite
from bench.churn import Coming, Gone
from bench.churn import run as measure_churn
from bench.figures import Course, Figures, Taken
from bench.floor import FloorError
from bench.gateway import GatewayError
from bench.load import Load, LoadError
from bench.peers import PeerError
from bench.ports import NoPorts
from bench.runner import run as measure
from gateway.cli.errors import CannotRun
from gateway.demo.client import ClientError

RESULTS = Path(__file__).with_name("results")
BEHIND = "hushtap: the machine had too much else to do: work was put off, and the cost is that of less than all of it"
WIDTH = 150  # of what is printed to a file
CALLS = 100  # of a single run, where nothing is said


def run(arguments: argparse.Namespace) -> int:
    """One run, or the suite; 1 when a packet was lost, or a recording is not authentic."""
    say = Console(stderr=True, soft_wrap=True).print if sys.stderr.isatty() else _silent
    try:
        course = _course(arguments)
        if arguments.json:
            figures = one(course, say, arguments.directory)
            print(json.dumps(figures.summary()))
            if figures.behind:
                print(BEHIND, file=sys.stderr)
            return _status(figures.taken)
        results = arguments.output or RESULTS
        # Where it may not be made, that is known before an hour is spent.
        results.mkdir(parents=True, exist_ok=True)
        rows = [suite.Row("as asked for", course)] if arguments.calls else suite.rows(course)
        measured = suite.measure(rows, lambda each: one(each, say, arguments.directory), say)
        gone = None if arguments.calls else _come_and_go(arguments, say)
    except (FloorError, GatewayError, LoadError, NoPorts, PeerError, ClientError) as error:
        raise CannotRun(str(error)) from error
    except OSError as error:  # of folders that are not there or may not be written to, of a disk that is full
        place = f"{error.filename}: " if error.filename else ""
        raise CannotRun(f"{place}{error.strerror or error}") from error
    except ImportError as error:
        raise CannotRun(f"the benchmark needs a package that is not installed: {error.name}") from error
    report.show(measured, gone, Console(width=None if sys.stdout.isatty() else WIDTH))
    for path in report.write(measured, gone, results):
        say(str(path))
    return max(
        _status(taken) for taken in [each.figures.taken for each in measured] + ([gone.taken] if gone else [])
    )


def one(course: Course, say: Callable[[str], None], directory: Path | None = None) -> Figures:
    """One run in a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="hushtap-bench-", dir=directory) as folder:
        return asyncio.run(measure(course, Path(folder), say))


def come_and_go(coming: Coming, say: Callable[[str], None], directory: Path | None) -> Gone:
    with tempfile.TemporaryDirectory(prefix="hushtap-bench-", dir=directory) as folder:
        return asyncio.run(measure_churn(coming, Path(folder), say))


def _come_and_go(arguments: argparse.Namespace, say: Callable[[str], None]) -> Gone | None:
    """None, and why, where the machine cannot carry it: what was measured before is told all the same."""
    try:
        return come_and_go(Coming(arguments.rate), say, arguments.directory)
    except (GatewayError, NoPorts, ClientError) as error:
        print(f"hushtap: calls that come and go were not measured: {error}", file=sys.stderr)
        return None


def _course(arguments: argparse.Namespace) -> Course:
    load = Load(
        codec=arguments.codec,
        ptime_ms=arguments.ptime,
        sound="noise" if arguments.noise else "speech",
        loss=arguments.loss,
        jitter_ms=arguments.jitter,
        muted=arguments.muted,
        keys=arguments.keys,
        suite=suite.SRTP if arguments.srtp else "",
    )
    return Course(
        arguments.calls or CALLS,
        arguments.seconds,
        load,
        arguments.pairs,
        arguments.rate,
        arguments.inband,
        peers=arguments.peers,
        tap=arguments.tap,
    )


def _status(taken: Taken) -> int:
    return 1 if taken.missing or taken.wrong else 0


def _silent(text: str) -> None:
    """Nobody looks."""
