"""The floor under any recorder: floor.c, built on the spot."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

SOURCE = Path(__file__).with_name("floor.c")
COMPILERS = ("cc", "gcc", "clang")
OPTIONS = ("-std=c11", "-O2", "-Wall", "-Wextra", "-Werror")


class FloorError(Exception):
    """There is no floor to stand on; the text says why."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What the floor took in its life."""

    packets: int
    bytes: int
    segments: int


def build(folder: Path) -> Path:
    """Compile it into a folder. Raises FloorError."""
    compiler = next(filter(None, map(shutil.which, COMPILERS)), None)
    if compiler is None:
        raise FloorError(
            f"a C compiler is needed to build the floor ({', '.join(COMPILERS)}): apt-get install gcc"
        )
    program = folder / "floor"
    built = subprocess.run(
        [compiler, *OPTIONS, "-o", program, SOURCE, "-ldl"], capture_output=True, text=True, check=False
    )
    if built.returncode:
        raise FloorError(f"{SOURCE.name} could not be built: {built.stderr.strip()}")
    return program


class Floor:
    """It runs from entry to exit; `ports` has two in a row for each call."""

    def __init__(self, program: Path, calls: int, folder: Path) -> None:
        self._command = [str(program), str(calls), str(folder)]
        folder.mkdir(parents=True)
        self.kept: Kept | None = None  # once it has ended

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise FloorError(f"the floor ended: {self._process.communicate()[1].strip()}")
        self.ports: list[int] = json.loads(line)
        return self

    @property
    def pid(self) -> int:
        return self._process.pid

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        out, fault = self._process.communicate()
        if kind is None and self._process.returncode:
            raise FloorError(f"the floor ended with {self._process.returncode}: {fault.strip()}")
        if kind is None:
            self.kept = Kept(**json.loads(out))
