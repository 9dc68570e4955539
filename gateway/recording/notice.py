"""Whether a notice that is known by its audio was played on a leg, when, and how much of it.

The notice and the leg are described alike: how strong each of a few bands of telephone audio is, a hundred times a
second, as a small root of its power, less the mean of the second around it and of all bands. A change of level is then
a factor, which correlation does not see; the colour of a line and steady noise are nearly gone, and so is the rhythm that
all speech has. A window of a second is heard where the two descriptions correlate. How much of a notice is heard is the
share of its sounding time that lies in windows heard at one alignment, give or take what jitter buffers shift, and at one
pace, which skewed clocks change. Other words by the same voice do not correlate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

RATE = 8000
HOP = 80  # samples between two frames
FRAMES_PER_SECOND = RATE // HOP
FRAME = 256  # samples of a frame
BAND_EDGES_HZ = (250, 350, 450, 560, 680, 820, 980, 1160, 1370, 1600, 1860, 2160, 2500, 2880, 3350)
BANDS = len(BAND_EDGES_HZ) - 1
ROOT = 0.12  # near the logarithm for what is loud, near nothing for what lies far below
MEAN_FRAMES = 50  # on both sides, of the mean that is taken off
WINDOW = FRAMES_PER_SECOND
STEP = WINDOW // 4  # from one window to the next
HEARD = 0.55  # least correlation of a window that is heard
AGREEING = 0.25  # least part of two frames' strengths that agrees, on average, in what is heard
SHIFT = 4  # frames by which a window may lie beside the alignment of the whole
MOST_DRIFT = 0.006  # by which a notice may be played faster or slower than its file
CLEARLY = 1.01  # by which another pace must be better
MARGIN = 24  # frames, more than the longest notice drifts from its middle to its ends, and SHIFT
LOST_FRAMES = 30  # a shorter run of zeros is taken for loss and not judged, a longer one for silence
JUDGED = 0.5  # least share of a window's strength that must not be lost
QUIET = 0.02  # of the loudest second: what is softer is not blown up until it resembles something
SOUNDING = 0.1  # of a notice's mean level: what is softer is a pause
SHORTEST_SECONDS, LONGEST_SECONDS = 2.0, 60.0  # shorter ones resemble other speech, longer ones cost memory
CHANCE_SECONDS = 1.2  # less of a notice's sounding time than this is taken for chance

Samples = npt.NDArray[np.int16]
Floats = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]


class NoticeError(Exception):
    """Audio cannot serve as a notice to be recognised; the text says why."""


@dataclass(frozen=True, slots=True)
class Sound:
    """The description of some audio."""

    features: Floats  # (bands, frames)
    known: Flags  # frames that are not lost


@dataclass(frozen=True, slots=True)
class Heard:
    """Where a notice lies, and how much of it is heard there."""

    start: int  # of the whole notice, in samples at RATE; negative where it began before the audio
    share: float  # of its sounding time, 0 to 1
    first: float  # where in the notice begins what is heard, as a share of its length
    last: float  # and where it ends


class Spectrum:
    """Describes audio that comes in pieces of any length."""

    def __init__(self) -> None:
        self._rest: Samples = np.zeros((FRAME - HOP) // 2, np.int16)  # so that a frame lies about its hop
        self._roots: list[Floats] = []
        self._zero: list[Flags] = []

    def take(self, samples: Samples) -> None:
        joined = np.concatenate((self._rest, samples))
        count = max(0, (len(joined) - FRAME) // HOP + 1)
        if count:
            frames = sliding_window_view(joined, FRAME)[::HOP][:count]
            self._roots.append(_band_roots(frames))
            self._zero.append(np.logical_not(frames.any(axis=1)))
        self._rest = joined[count * HOP :].copy()

    def result(self) -> Sound:
        """The description of all that was taken."""
        if not self._roots:
            return Sound(np.zeros((BANDS, 0), np.float32), np.zeros(0, np.bool_))
        known = ~_short_runs(np.concatenate(self._zero), LOST_FRAMES)
        return Sound(_centred(np.concatenate(self._roots, axis=1), known), known)


class Reference:
    """A notice to be recognised. Raises NoticeError where its audio is too short, too long or silent."""

    def __init__(self, name: str, samples: Samples) -> None:
        seconds = len(samples) / RATE
        if not SHORTEST_SECONDS <= seconds <= LONGEST_SECONDS:
            raise NoticeError(
                f"it lasts {seconds:.1f} s, expected are {SHORTEST_SECONDS:g} to {LONGEST_SECONDS:g} s"
            )
        spectrum = Spectrum()
        spectrum.take(samples)
        self.name = name
        self.features = spectrum.result().features
        self.frames = self.features.shape[1]
        levels = _levels(samples, self.frames)
        self.sounding: Flags = levels > SOUNDING * levels.mean()
        if np.count_nonzero(self.sounding) < CHANCE_SECONDS * FRAMES_PER_SECOND:
            raise NoticeError("it is silent but for moments")
        last = self.frames - WINDOW
        self.starts = np.append(np.arange(0, last, STEP), last)  # of its windows
        reach = MOST_DRIFT * self.frames / 2
        self._drifts = np.linspace(
            -MOST_DRIFT, MOST_DRIFT, 2 * int(np.ceil(reach)) + 1
        )  # a frame apart at its ends

    @property
    def seconds(self) -> float:
        return float(self.frames) / FRAMES_PER_SECOND

    def paces(self) -> list[float]:
        """By how much it may be played more slowly, as shares; the least first."""
        order = np.argsort(np.abs(self._drifts), kind="stable")
        return [float(drift) for drift in self._drifts[order]]

    def lags(self, frames: npt.NDArray[np.integer], drift: float) -> npt.NDArray[np.integer]:
        """By how many frames what lies there comes later, seen from the middle of the notice."""
        lags: npt.NDArray[np.integer] = np.rint((frames - self.frames / 2) * drift).astype(np.intp)
        return lags


def search(reference: Reference, sound: Sound, latest: int) -> Heard | None:
    """The place where most of a notice is heard, begun at the sample `latest` or before; None where it is none."""
    if sound.features.shape[1] < WINDOW:
        return None
    matches = _matches(reference, sound)[:, : reference.frames + latest // HOP + 1]
    weights = np.array([np.count_nonzero(reference.sounding[at : at + WINDOW]) for at in reference.starts])
    padded = np.pad(matches, ((0, 0), (2 * MARGIN, 2 * MARGIN)))
    near = sliding_window_view(padded, 2 * SHIFT + 1, axis=1).max(
        axis=2
    )  # its column 0 is alignment SHIFT - 2 * MARGIN
    place = _likeliest(reference, np.where(near > HEARD, near, 0), weights, matches.shape[1])
    exact, drift = _exact(reference, padded, weights, place)
    at = exact + reference.lags(reference.starts + WINDOW // 2, drift) + 2 * MARGIN - SHIFT
    heard = _together(near[np.arange(len(at)), at] > HEARD)
    return _heard(reference, sound, heard, exact, drift) if heard.any() else None


def _likeliest(reference: Reference, strong: Floats, weights: npt.NDArray[np.integer], count: int) -> int:
    """The alignment of the notice's middle at which most is heard, at whatever pace."""
    best, place = -1.0, 0
    for drift in reference.paces():
        starts = reference.lags(reference.starts + WINDOW // 2, drift) + 2 * MARGIN - SHIFT
        totals = np.zeros(count, np.float32)
        for row, start, weight in zip(strong, starts.tolist(), weights.tolist(), strict=True):
            totals += weight * row[start : start + count]
        if totals.max() > best:
            best, place = float(totals.max()), int(totals.argmax())
    return place


def _exact(
    reference: Reference, padded: Floats, weights: npt.NDArray[np.integer], place: int
) -> tuple[int, float]:
    """The alignment near a place, and the pace, at which all windows together correlate best."""
    rows = np.arange(len(reference.starts))
    best, exact, pace = 0.0, place, 0.0
    for drift in reference.paces():
        lags = reference.lags(reference.starts + WINDOW // 2, drift) + 2 * MARGIN
        totals = []
        for shift in range(-SHIFT, SHIFT + 1):
            found = padded[rows, place + shift + lags]
            totals.append(float(weights @ np.where(found > HEARD / 2, found, 0)))
        if max(totals) > best * CLEARLY:
            best, exact, pace = max(totals), place + int(np.argmax(totals)) - SHIFT, drift
    return exact, pace


def _matches(reference: Reference, sound: Sound) -> Floats:
    """The correlation of each window at each alignment: (windows, alignments).

    At alignment 0 the notice ends where the audio begins. The windows' products with the audio are computed by way of
    their spectra, all places at once.
    """
    count = sound.features.shape[1]
    size = 1 << (count + 2 * WINDOW - 1).bit_length()
    audio = np.fft.rfft(sound.features, size)
    known = np.fft.rfft(sound.known.astype(np.float32), size)
    box = np.fft.rfft(np.ones(WINDOW), size).conj()
    strength = np.fft.irfft(np.fft.rfft((sound.features**2).sum(axis=0), size) * box, size)
    strength = np.maximum(strength, QUIET * strength[:count].max() + 1e-6)
    matches = np.zeros((len(reference.starts), reference.frames + count), np.float32)
    for row, start in zip(matches, reference.starts.tolist(), strict=True):
        window = reference.features[:, start : start + WINDOW]
        power = (window**2).sum(axis=0)
        product = np.fft.irfft((np.fft.rfft(window, size).conj() * audio).sum(axis=0), size)
        judged = np.fft.irfft(np.fft.rfft(power, size).conj() * known, size)
        found = product / np.sqrt(strength * np.maximum(judged, 1e-6))
        found[judged < JUDGED * power.sum()] = 0
        zero = reference.frames - start  # the alignment that puts the window at the audio's beginning
        row[zero : zero + count] = found[: min(count, len(row) - zero)]
        row[zero - WINDOW : zero] = found[-WINDOW:]  # the window begins before the audio
    return matches


def _together(windows: Flags) -> Flags:
    """Those that overlap another that is heard: one alone is chance."""
    beside = np.pad(windows, 1)
    return windows & (beside[:-2] | beside[2:])


def _heard(reference: Reference, sound: Sound, windows: Flags, place: int, drift: float) -> Heard | None:
    """What the windows that are heard come to; None where it may be chance."""
    middles = reference.starts + WINDOW / 2
    nearest = np.abs(np.arange(reference.frames)[:, None] - middles).argmin(axis=1)
    covered = windows[nearest]
    frames = np.arange(reference.frames)
    places = (
        frames + reference.lags(frames, drift) + place - reference.frames
    )  # of the notice's frames in the audio
    ends = _agreeing(reference, sound, covered, places)
    frames = np.flatnonzero(covered & reference.sounding)
    frames = frames[(frames >= ends.start) & (frames < ends.stop)]
    if len(frames) < CHANCE_SECONDS * FRAMES_PER_SECOND:
        return None
    sounding = np.flatnonzero(reference.sounding)
    first = 0.0 if frames[0] == sounding[0] else float(frames[0]) / reference.frames
    last = 1.0 if frames[-1] == sounding[-1] else float(frames[-1] + 1) / reference.frames
    return Heard(int(places[0]) * HOP, len(frames) / len(sounding), first, last)


def _agreeing(reference: Reference, sound: Sound, covered: Flags, places: npt.NDArray[np.integer]) -> slice:
    """The stretch of a notice, whose frames lie at these places of the audio, in which both agree most: tells where it was cut off.

    A window is heard, too, when a part of it is not there; so what is at the ends is judged by frames.
    """
    there = (places >= 0) & (places < sound.features.shape[1])
    audio = np.zeros_like(reference.features)
    audio[:, there] = sound.features[:, places[there]]
    known = np.ones(reference.frames, np.bool_)
    known[there] = sound.known[places[there]]
    strength = (audio**2).sum(axis=0)
    # Silence where the notice sounds does not agree with it either.
    strength = np.maximum(strength, strength[covered].mean())
    wanted = AGREEING * np.sqrt(strength * (reference.features**2).sum(axis=0))
    gains = np.where(known, (audio * reference.features).sum(axis=0) - wanted, 0)
    totals = np.concatenate(([0.0], np.cumsum(gains)))
    stop = int((totals - np.minimum.accumulate(totals)).argmax())
    return slice(int(totals[: stop + 1].argmin()), stop)


def _band_roots(frames: Samples) -> Floats:
    spectrum = np.fft.rfft(frames * np.hanning(FRAME), axis=1)
    power = (spectrum.real**2 + spectrum.imag**2) @ _BAND_MEANS
    roots: Floats = (power**ROOT).T.astype(np.float32)
    return roots


def _band_means() -> npt.NDArray[np.float64]:
    """What makes the powers of bands from those of frequencies: (frequencies, bands)."""
    hertz = np.fft.rfftfreq(FRAME, 1 / RATE)[:, None]
    edges = np.array(BAND_EDGES_HZ)
    inside = ((hertz >= edges[:-1]) & (hertz < edges[1:])).astype(np.float64)
    means: npt.NDArray[np.float64] = inside / inside.sum(axis=0)
    return means


_BAND_MEANS = _band_means()


def _centred(roots: Floats, known: Flags) -> Floats:
    """The roots less the mean of what is known around each frame, then less that of all bands; 0 where it is lost."""
    means = _sums(roots * known) / np.maximum(_sums(known[None].astype(np.float64)), 1)
    centred = roots - means
    features: Floats = ((centred - centred.mean(axis=0)) * known).astype(np.float32)
    return features


def _sums(rows: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Of MEAN_FRAMES on both sides of each frame, and itself."""
    padded = np.pad(rows, ((0, 0), (MEAN_FRAMES + 1, MEAN_FRAMES)))
    totals = np.cumsum(padded, axis=1, dtype=np.float64)
    width = 2 * MEAN_FRAMES + 1
    sums: npt.NDArray[np.float64] = totals[:, width:] - totals[:, :-width]
    return sums


def _levels(samples: Samples, frames: int) -> npt.NDArray[np.float64]:
    """The root mean square of each hop."""
    hops = samples[: frames * HOP].astype(np.float64)
    hops = np.pad(hops, (0, frames * HOP - len(hops))).reshape(frames, HOP)
    levels: npt.NDArray[np.float64] = np.sqrt((hops**2).mean(axis=1))
    return levels


def _short_runs(flags: Flags, longest: int) -> Flags:
    """The flags that are set in runs no longer than `longest`."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], flags, [False])).astype(np.int8)))
    short = np.zeros(len(flags), np.bool_)
    for start, stop in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        short[start:stop] = stop - start <= longest
    return short
