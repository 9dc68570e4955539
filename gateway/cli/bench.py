"""`hushtap bench`: what recording costs on this machine."""

from __future__ import annotations

import argparse
import sys
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
