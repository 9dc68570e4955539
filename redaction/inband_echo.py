"""A key that is known to have been pressed, looked for where it may be heard again: as an echo, or what leaked.

Its frequencies are known, and so it is found far below what finds a key that nobody told of: under speech, and for
as short a time as another detector can still name it.
"""

from __future__ import annotations

import numpy as np

from gateway.redaction.digit import Digit
from gateway.redaction.inband_exact import QUIET, Wave, basis

# Window and hop in samples, the least share of the energy, and by what factor both tones lead their groups. A detector
# without a guard time names a key that holds 0.4 of 40 ms and leads by 10, so also one that sounds for 16 ms alone.
LOOKS = ((320, 40, 0.33, 6.0), (128, 16, 0.8, 2.0))
TWIST = 16.0  # dB: an echo path colours


def echoes(wave: Wave, key: Digit) -> list[tuple[int, int]]:
    """Stretches of a wave at 8 kHz in which a key's tones sound, in samples; they may overlap."""
    found = []
    for length, hop, least, lead in LOOKS:
        if len(wave) < length:
            continue
        windows = np.ascontiguousarray(np.lib.stride_tricks.sliding_window_view(wave, length)[::hop])
        fits = basis(length).fit_key(windows, key)
        sounding = (fits.share >= least) & (np.abs(fits.twist) <= TWIST) & (fits.power > QUIET)
        sounding[sounding] = basis(length).lead(windows[sounding], key) >= lead
        for index in np.flatnonzero(sounding).tolist():
            # A window reaches beyond a tone that fills only part of it; its middle does not, or by little.
            middle = index * hop + length // 2
            found.append((middle - hop // 2, middle + hop // 2))
    return found
