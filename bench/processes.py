"""Processor time and memory of a process and all below it, as the kernel counts them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
NS = 1_000_000_000
PAGE = os.sysconf("SC_PAGE_SIZE")
# Fields of /proc/<pid>/stat behind the name (proc(5)): utime, stime, and those of children that were waited for.
USER, SYSTEM, CHILDREN_USER, CHILDREN_SYSTEM = 11, 12, 13, 14


def tree(pid: int) -> Iterator[int]:
    """A process and its descendants."""
    yield pid
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text(encoding="ascii").split():
                yield from tree(int(child))
    except (FileNotFoundError, ProcessLookupError):
        return


def cpu_seconds(pid: int) -> float:
    """User and system time of a process tree so far, that of its members that ended included."""
    return sum(map(_used, tree(pid)))


def by_process(pid: int) -> dict[str, float]:
    """The same by what each process is: the module that it runs."""
    found: dict[str, float] = {}
    for each in tree(pid):
        name = _name(each)
        found[name] = found.get(name, 0.0) + _used(each)
    return found


def resident_bytes(pid: int) -> int:
    """Memory of a process tree that is in use now."""
    return sum(map(_resident, tree(pid)))


def _used(pid: int) -> float:
    """Seconds. Threads that live are counted in nanoseconds, a process with those that ended only in ticks."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        threads = [
            int((task / "schedstat").read_text(encoding="ascii").split()[0])
            for task in Path(f"/proc/{pid}/task").iterdir()
        ]
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    user, system, *ended = (
        int(fields[place]) / TICKS for place in (USER, SYSTEM, CHILDREN_USER, CHILDREN_SYSTEM)
    )
    return max(sum(threads) / NS, user + system) + sum(ended)


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * PAGE
    except (FileNotFoundError, ProcessLookupError):
        return 0


def _name(pid: int) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return "gone"
    return words[words.index("-m") + 1] if "-m" in words else Path(words[0]).name
