"""`hushtap bench`: what recording costs on this machine."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import gateway
from gateway.cli.errors import CannotRun

ROOT = Path(gateway.__file__).parents[1]


def run(arguments: argparse.Namespace) -> int:
    """The benchmark lies beside the package, not in it: it is for those who have the source."""
    if not (ROOT / "bench" / "command.py").exists():
        raise CannotRun(
            "the benchmark is part of the source tree: run this in a checkout, as `make bench` does"
        )
    sys.path.insert(0, str(ROOT))
    status: int = import_module("bench.command").run(arguments)
    return status


def add_options(bench: argparse.ArgumentParser, positive: Callable[[str], int]) -> None:
    """How much and what kind of load; what cannot be combined is told by the benchmark itself."""
    bench.description = (
        "Measure the gateway's processor time, memory, losses and delays beside a C program that only receives, seals and "
        "appends. Needs the source tree, a C compiler, and nothing else to do for the machine. Without --calls and "
        "--json: a table over numbers of calls and kinds of load, for about an hour."
    )
    bench.add_argument("--calls", type=positive, metavar="N", help="one run with so many calls")
    bench.add_argument("--seconds", type=positive, default=10, metavar="S", help="of a window (%(default)s)")
    bench.add_argument("--pairs", type=positive, default=3, metavar="N", help="of windows (%(default)s)")
    bench.add_argument(
        "--rate", type=positive, default=50, metavar="N", help="calls set up a second (%(default)s)"
    )
    bench.add_argument("--codec", default="PCMA", help="PCMA, PCMU, G722, GSM or opus (%(default)s)")
    bench.add_argument("--ptime", type=positive, default=20, metavar="MS", help="of a packet (%(default)s)")
    bench.add_argument("--noise", action="store_true", help="noise instead of speech")
    bench.add_argument(
        "--loss", type=_share, default=0.0, metavar="P", help="probability that a packet is lost"
    )
    bench.add_argument("--jitter", type=positive, default=0, metavar="MS", help="longest delay of a packet")
    bench.add_argument(
        "--muted", type=_share, default=0.0, metavar="P", help="share of calls with a muted agent"
    )
    bench.add_argument(
        "--keys", choices=("none", "events", "inband"), default="none", help="keys pressed, and how"
    )
    bench.add_argument("--srtp", action="store_true", help="SRTP on all streams")
    bench.add_argument(
        "--tap",
        action="store_true",
        help="calls that a tap overhears at a mirrored port, made of virtual interfaces; needs root",
    )
    bench.add_argument(
        "--peers",
        action="store_true",
        help="others that are installed, on the same load: rtpengine, or with --tap tcpdump and sngrep",
    )
    bench.add_argument(
        "--inband",
        choices=("always", "without_events", "never"),
        default="never",
        help="on which legs the gateway looks for tones (%(default)s)",
    )
    bench.add_argument(
        "--directory",
        type=Path,
        metavar="FOLDER",
        help="where recordings go meanwhile, on the disk to be measured; else the system's place for what passes",
    )
    bench.add_argument("--output", type=Path, metavar="FOLDER", help="where results go (bench/results)")
    bench.add_argument(
        "--json", action="store_true", help="print one object, of a shape that stays, of one run"
    )


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1")
    return share
