"""A key that is known to have been pressed, looked for where it may be heard again: as an echo, or what leaked.

Its frequencies are known, and so it is found far below what finds a key that nobody told of: under speech, and for
as short a time as another detector can still name it.
"""

from __future__ import annotations

import numpy as np

from gateway.redaction.digit import Digit
from gateway.redaction.inband_exact import QUIET, Wave, basis

# Window and hop in samples, and the least share of the energy. Detectors without a guard time name a key from a
# share of 0.4 of 40 ms on, or from 16 ms of it alone.
LOOKS = ((320, 40, 0.3), (128, 16, 0.7))
TWIST = 16.0  # dB: an echo path colours


def echoes(wave: Wave, key: Digit) -> list[tuple[int, int]]:
    """Stretches of a wave at 8 kHz in which a key's tones sound, in samples; they may overlap."""
    found = []
    for length, hop, least in LOOKS:
        if len(wave) < length:
            continue
        windows = np.ascontiguousarray(np.lib.stride_tricks.sliding_window_view(wave, length)[::hop])
        fits = basis(length).fit_key(windows, key)
        sounding = (fits.share >= least) & (np.abs(fits.twist) <= TWIST) & (fits.power > QUIET)
        for index in np.flatnonzero(sounding).tolist():
            # A window of which the tones are not all may hold them in its middle only.
            inset = round(length * (1 - fits.share[index]) / 3)
            found.append((index * hop + inset, index * hop + length - inset))
    return found
