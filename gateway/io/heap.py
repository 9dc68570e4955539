"""Keeping memory that was taken: a tick's arrays are as large as those of the tick before. What a tick makes has no cycles."""

from __future__ import annotations

import ctypes
import gc

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3  # <malloc.h>
KEPT_BYTES = 256 << 20  # free memory that is not given back: some times the arrays of a tick of 4,000 calls
# Larger arrays, the rings of all legs, have pages of their own, which cost nothing until they are used; smaller ones may be given
# memory that was used before, and zeroing it uses all of it. A tick of 4,000 calls makes none so large.
MAPPED_BYTES = 8 << 20
STEP_BYTES = 4 << 20
WORK_BYTES = 4 << 20  # what the arrays of a tick of 200 calls take, all at once
COLLECT_AFTER = (50_000, 20, 20)  # objects made and kept, and collections of the younger generations


def collect_seldom() -> None:
    """Look for cycles a hundredth as often: what a worker keeps are calls, which have none, and there are many."""
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)


def keep_heap() -> None:
    """Let freed memory stay mapped, so that arrays made anew at each tick cost no page faults; glibc only."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, MAPPED_BYTES)
        mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
        mallopt(M_TOP_PAD, STEP_BYTES)


def set_work_aside() -> None:
    """Have what ticks work with in memory before the first call, as the arena is: it is taken and given back, tick by tick."""
    taken = b"\xff" * WORK_BYTES  # every page is written to
    del taken
