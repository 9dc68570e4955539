"""Filling a short gap in narrowband or wideband speech from what lies on both sides of it.

In the manner of ITU-T G.711 Appendix I, but with both neighbours known: the last pitch period before the gap is
repeated into it, the first one after it is repeated backwards, and the two are cross-faded. No sample outside
the gap is touched. Past 10 ms from the nearest real sample the repetition fades, to nothing at 60 ms.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.int16]
Wave = npt.NDArray[np.float64]

LONGEST_MS = 60  # a longer gap stays silent: what would be invented is no longer likely
CONTEXT_MS = 35  # of neighbouring audio that is looked at: the longest lag and the template
_TEMPLATE_MS = 20
_SHORTEST_LAG_MS, _LONGEST_LAG_MS = 5, 15  # pitch of 200 to 66 Hz; a higher voice repeats two periods
_FULL_MS = 10  # repeated at full level for so long


def bridge(before: Samples, after: Samples, length: int, rate: int) -> Samples:
    """`length` samples that lead from the end of `before` to the start of `after`; either may be empty."""
    onward = _repeated(before.astype(np.float64), length, rate)
    backward = _repeated(after[::-1].astype(np.float64), length, rate)[::-1]
    weight = np.arange(1, length + 1) / (length + 1)
    return np.rint(onward * (1 - weight) + backward * weight).astype(np.int16)


def cross_fade(leaving: Samples, coming: Samples) -> Samples:
    """Two stretches of the same length, the first giving way to the second; equal ones are kept exactly."""
    weight = np.arange(1, leaving.size + 1) / (leaving.size + 1)
    change = coming.astype(np.float64) - leaving
    return np.rint(leaving + change * weight).astype(np.int16)


def _repeated(context: Wave, length: int, rate: int) -> Wave:
    """The context carried on by its last pitch period, fading."""
    if context.size == 0:
        return np.zeros(length)
    period = context[-_lag(context, rate) :]
    distance = np.arange(length) * 1000 / rate
    gain = np.clip((LONGEST_MS - distance) / (LONGEST_MS - _FULL_MS), 0, 1)
    return np.resize(period, length) * gain


def _lag(context: Wave, rate: int) -> int:
    """The pitch period at the end of the context, in samples, by normalised correlation."""
    shortest, longest = _SHORTEST_LAG_MS * rate // 1000, _LONGEST_LAG_MS * rate // 1000
    size = min(_TEMPLATE_MS * rate // 1000, context.size - longest)
    if size < shortest:
        return min(context.size, longest)
    template, searched = context[-size:], context[-size - longest : -shortest]
    windows = np.lib.stride_tricks.sliding_window_view(searched, size)
    energy = np.sqrt((windows**2).sum(axis=1)) + 1.0
    return longest - int(np.argmax(windows @ template / energy))
