"""Keeping memory that was taken: a tick's arrays are as large as those of the tick before."""

from __future__ import annotations

import ctypes

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3  # <malloc.h>
KEPT_BYTES = 256 << 20  # free memory that is not given back: some times the arrays of a tick of 4,000 calls
MAPPED_BYTES = 32 << 20  # the most that the C library allows
STEP_BYTES = 4 << 20


def keep_heap() -> None:
    """Let freed memory stay mapped, so that arrays made anew at each tick cost no page faults; glibc only."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, MAPPED_BYTES)
        mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
        mallopt(M_TOP_PAD, STEP_BYTES)
