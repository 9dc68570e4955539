"""Fuzz each target for a while: by coverage where atheris is there, else by mutating the samples.

python -m tests.fuzz --seconds 60 [TARGET ...]; exit code 1 when a target let an error out, whose input is kept.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import importlib.util
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random

PIECES = (
    b"\r\n",
    b"\n",
    b"--b1",
    b";",
    b",",
    b":",
    b"<",
    b">",
    b'"',
    b"&",
    b"=",
    b"\0",
    b"%00",
    b"9999999999",
)
MAX_BYTES = 16_384


def guided(target: str, seconds: int, folder: Path) -> None:
    """Runs until the time is over, or ends the process with the input that broke it in `folder`."""
    atheris = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["gateway"]):
        targets = importlib.import_module("tests.fuzz.targets")
    corpus = folder / target
    corpus.mkdir(parents=True)
    for seed in targets.seeds(target):
        (corpus / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)
    options = [f"-max_total_time={seconds}", f"-max_len={MAX_BYTES}", f"-artifact_prefix={folder}/{target}-"]
    atheris.Setup(
        ["fuzz", *options, "-print_final_stats=1", "-rss_limit_mb=2048", str(corpus)], targets.TARGETS[target]
    )
    atheris.Fuzz()


def blind(target: str, seconds: int, folder: Path) -> None:
    """Mutations of the samples, without coverage."""
    targets = importlib.import_module("tests.fuzz.targets")
    random, seeds, runs, until = Random(), targets.seeds(target), 0, time.monotonic() + seconds
    while time.monotonic() < until:
        data = bytearray(random.choice(seeds))
        for _ in range(random.randrange(1, 9)):
            at = random.randrange(len(data) + 1)
            noise = random.choice((random.randbytes(random.randrange(5)), random.choice(PIECES)))
            data[at : at + random.choice((0, 1, len(noise), random.randrange(40)))] = noise
        try:
            targets.TARGETS[target](bytes(data))
        except Exception:
            (folder / f"{target}-crash").write_bytes(data)
            raise
        runs += 1
    print(f"stat::number_of_executed_units: {runs}", file=sys.stderr)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET")
    parser.add_argument("--seconds", type=int, default=60, help="for each target (%(default)s)")
    parser.add_argument("--here", type=Path, help=argparse.SUPPRESS)  # fuzz one target in this process
    options = parser.parse_args()
    names = options.targets or list(importlib.import_module("tests.fuzz.targets").TARGETS)
    by_coverage = importlib.util.find_spec("atheris") is not None
    if options.here:
        (guided if by_coverage else blind)(names[0], options.seconds, options.here)
        return 0
    kept, failed = Path(tempfile.mkdtemp(prefix="fuzz-")), 0
    for name in names:
        command = [
            sys.executable,
            "-m",
            "tests.fuzz",
            name,
            f"--seconds={options.seconds}",
            "--here",
            str(kept),
        ]
        ended = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
        runs = [line for line in ended.stderr.splitlines() if "number_of_executed_units" in line]
        failed += ended.returncode != 0
        print(f"{name}: {'FAILED' if ended.returncode else 'good'} {' '.join(runs)}", flush=True)
        if ended.returncode:
            print(ended.stderr[-4000:], f"inputs in {kept}", sep="\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
