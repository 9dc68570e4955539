"""Keeping a process's memory to itself: audio that waits, and the keys of running calls, are in it."""

from __future__ import annotations

import ctypes
import resource
from pathlib import Path

CAP_IPC_LOCK = 14  # <linux/capability.h>
MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT = 1, 2, 4  # <bits/mman-linux.h>
PR_SET_DUMPABLE = 4  # <linux/prctl.h>

_libc = ctypes.CDLL(None, use_errno=True)


def refuse_dumps() -> None:
    """No core dump, to a file or a program, and no look into the memory by another process of this user."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def lock_memory() -> bool:
    """Keep all memory, now and later, off swap; False where the limits do not allow it."""
    limit, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if limit != resource.RLIM_INFINITY and not _may_lock():
        return False  # with a limit in force later allocations would fail
    locked: int = _libc.mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT)
    return locked == 0


def _may_lock() -> bool:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (effective,) = (line.split()[1] for line in status.splitlines() if line.startswith("CapEff:"))
    return bool(int(effective, 16) >> CAP_IPC_LOCK & 1)
