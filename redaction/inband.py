"""DTMF in the audio itself (ITU-T Q.23, Q.24), found on many streams at once.

A sieve runs over everything: blocks of 10 ms, of which the strongest low and the strongest high frequency
must hold much of the energy. In speech it leaves a block every few seconds. Those
are looked at closely (`inband_exact`), in windows of 20 ms, one every 2 ms. One window that is nearly all
two tones is masked; a key is pressed where windows agree for longer than speech ever does (`inband_runs`).

Positions are samples of a row's own stream at 8 kHz, from 0. What is found does not depend on the lengths of
the pieces in which a stream comes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import log10

import numpy as np

from gateway.redaction.digit import Digit
from gateway.redaction.inband_exact import HIGH, LOW, QUIET, RATE, Basis, Bools, Fits, Ints, Wave, basis
from gateway.redaction.inband_runs import FINE, LEVELS, Gap, Hit, Run

BLOCK = 80  # of the sieve: a tone of 23 ms holds a whole one, wherever it begins
WINDOW = 160
STARTS = np.arange(-BLOCK + FINE, 1, FINE)  # of the windows that hold a block, from its own start
LONGEST_HOLE = 60 * RATE // 1000  # a longer loss is not looked across
CONTEXT = 9 * BLOCK  # kept before the next block: the longest hole, and what lies before it
TAIL = CONTEXT + WINDOW + BLOCK
SIEVE_SHARE = 0.65
SIEVE_TWIST = 10 ** (-14 / 10)
MASK_TWIST, PRESS_TWIST = 13.0, 11.0  # dB: 8 are asked for, and noise and codecs add to them
# What one more sinusoid explains: of white noise little, of a voice's harmonics much.
OTHER_SHARE, OTHER_OF_REST = 0.013, 0.06
PRESS_SHARE = 0.88
# A speech codec that does not keep the wave leaves of a tone less, and adds sounds: that much is made up for.
CODED_SHARE, CODED_OTHER, CODED_LEVEL = 0.08, 2.6, 2.0
# So does a gain that cuts the peaks off: what is as loud as can be for so much of a window is cut. Speech is never two tones then.
CUT_LEVEL, CUT_PART = 0.9, 0.3
CUT_SHARE, CUT_OTHER = 0.14, 0.08
PRESS_POWER = 2 * (32768 * 10 ** ((-50 - 3.14) / 20)) ** 2 / 2  # two tones of -50 dBm0 each
# A decoder with a memory is out of step after a loss, and what it gives is no clean tone for so many samples.
ASTRAY = RATE // 4
EDGE, BRIDGE = 128, 80  # about a gap: samples looked at on one side, and on each side where both are
EDGE_SHARE = 0.92


@dataclass(frozen=True, slots=True)
class Found:
    """A tone as far as it has come; told again, with the same start, as it goes on."""

    row: int
    start: int
    stop: int
    digit: Digit
    press: bool  # told once: from here on it counts as a key
    power: float = (
        0.0  # dB, of a key; by it the leg on which it was pressed is told from one on which it echoes
    )


@dataclass(frozen=True, slots=True)
class _Piece:
    """What is looked at near a gap; about the gap itself it has only what was not lost."""

    gap: Gap
    start: int
    stop: int
    wave: Wave


class Listener:
    """What is known of some rows of streams between one piece and the next."""

    def __init__(self, rows: int) -> None:
        self._tail = np.zeros((rows, TAIL), np.float32)
        self._fill = np.full(rows, CONTEXT, np.int64)  # samples kept
        self._base = np.full(rows, -CONTEXT, np.int64)  # position of the first, a multiple of BLOCK
        self._coded, self._adaptive = np.zeros((2, rows), np.bool_)
        self._room = np.empty(0, np.float32)  # used again: fresh memory costs more than what is done with it
        self._runs: dict[int, dict[Digit, Run]] = {}
        self._gaps: dict[int, list[Gap]] = {}

    def reset(self, row: int, coded: bool = False, adaptive: bool = False) -> None:
        """A stream begins at position 0; `coded`: its codec does not keep the wave; `adaptive`: its decoder has a memory."""
        self._coded[row], self._adaptive[row] = coded, adaptive
        self._tail[row] = 0
        self._fill[row], self._base[row] = CONTEXT, -CONTEXT
        self._runs.pop(row, None)
        self._gaps.pop(row, None)

    def position(self, row: int) -> int:
        """How many samples of a row have been heard."""
        return int(self._base[row] + self._fill[row])

    def find(self, pcm: Wave, rows: Ints, lengths: Ints, gaps: Sequence[Gap] = ()) -> list[Found]:
        """The next `lengths[i]` samples of each of some rows, at the start of pcm[i]: tones new or longer in them."""
        for gap in gaps:
            _add_gap(self._gaps.setdefault(gap.row, []), gap)
        wave, fill = self._joined(pcm, rows, lengths)
        ready = (fill - WINDOW) // BLOCK + 1  # blocks whose windows are all there
        hits: dict[int, list[Hit]] = {}
        self._look(wave, rows, _sieved(wave, ready), hits)
        if self._gaps:
            self._look_at_gaps(wave, rows, ready, hits)
        found = [
            tone
            for row in sorted(hits)
            for tone in self._follow(row, sorted(hits[row], key=lambda hit: hit.order))
        ]
        self._keep(wave, rows, fill, ready)
        return found

    def _joined(self, pcm: Wave, rows: Ints, lengths: Ints) -> tuple[Wave, Ints]:
        """What was kept with what came, in whole hops, and how many samples of each row that is."""
        kept = self._fill[rows]
        fill = kept + lengths
        width = -(-int(fill.max(initial=0)) // BLOCK) * BLOCK
        if self._room.size < len(rows) * width:
            self._room = np.empty(len(rows) * width, np.float32)
        wave = self._room[: len(rows) * width].reshape(len(rows), width)
        for count in np.unique(kept).tolist():
            mine = slice(None) if (kept == count).all() else kept == count
            end = min(count + pcm.shape[1], wave.shape[1])
            wave[mine, :count] = self._tail[rows[mine], :count]
            wave[mine, count:end] = pcm[mine, : end - count]
            wave[mine, end:] = 0
        return wave, fill

    def _look(self, wave: Wave, rows: Ints, blocks: tuple[Ints, Ints], hits: dict[int, list[Hit]]) -> None:
        """Fit the windows about some blocks (row of the wave, number)."""
        which = np.repeat(blocks[0], len(STARTS))
        starts = (blocks[1][:, None] * BLOCK + STARTS).ravel()
        if not len(which):
            return
        windows = np.lib.stride_tricks.sliding_window_view(wave, WINDOW, axis=1)[which, starts]
        fits = basis(WINDOW).fit(windows)
        positions = self._base[rows[which]] + starts
        coded = self._unclean(rows[which], positions)
        for index, share in _tones(basis(WINDOW), windows, fits, coded, LEVELS[-1][1]):
            start = int(positions[index])
            hit = _hit(fits, index, share, start, start + WINDOW, bool(coded[index]))
            hits.setdefault(int(rows[which[index]]), []).append(hit)

    def _unclean(self, rows: Ints, positions: Ints) -> Bools:
        """In which windows a tone may be less than clean: of such a codec, or soon after a loss."""
        unclean = self._coded[rows]
        for row in (row for row in self._gaps if self._adaptive[row]):
            for gap in self._gaps[row]:
                unclean |= (rows == row) & (positions + WINDOW > gap.start) & (positions < gap.stop + ASTRAY)
        return unclean

    def _look_at_gaps(self, wave: Wave, rows: Ints, ready: Ints, hits: dict[int, list[Hit]]) -> None:
        """Fit what lies on either side of losses, where a tone of which part was lost is too short for a window."""
        pieces: dict[Basis, list[_Piece]] = {}
        for index, row in enumerate(rows.tolist()):
            base = int(self._base[row])
            until = base + int(ready[index]) * BLOCK
            for gap in self._gaps.get(row, ()):
                if base + CONTEXT <= _turn(gap.stop) < until and gap.stop - gap.start <= LONGEST_HOLE:
                    for fitting, piece in _about(wave[index], gap, base):
                        pieces.setdefault(fitting, []).append(piece)
        for fitting, some in pieces.items():
            windows = np.stack([piece.wave for piece in some])
            fits = fitting.fit(windows)
            of = [piece.gap.row for piece in some]
            coded = self._coded[of] | self._adaptive[of]
            for index, share in _tones(fitting, windows, fits, coded, EDGE_SHARE):
                piece = some[index]
                turn = _turn(piece.gap.stop)
                hit = _hit(fits, index, share, piece.start, piece.stop, bool(coded[index]), turn)
                hits.setdefault(piece.gap.row, []).append(hit)

    def _follow(self, row: int, hits: list[Hit]) -> Iterator[Found]:
        """Take the hits of a row, in order, into its runs."""
        runs = self._runs.setdefault(row, {})
        gaps = self._gaps.get(row, [])
        told: dict[tuple[Digit, int], Found] = {}
        for hit in hits:
            run = runs.get(hit.digit)
            if run is None or not run.goes_on(hit, gaps):
                run = runs[hit.digit] = Run(hit.digit, hit.start, hit.start)
            run.take(hit, gaps)
            if run.start is None or run.stop <= run.told:
                continue
            press = not run.pressed and run.is_key
            run.pressed |= press
            run.told = run.stop
            name = run.digit, run.start
            press |= name in told and told[name].press
            power = run.firm.most[2] * (CODED_LEVEL if self._coded[row] else 1) if run.firm else 0.0
            told[name] = Found(row, run.start, run.stop, run.digit, press, power)
        yield from told.values()

    def _keep(self, wave: Wave, rows: Ints, fill: Ints, ready: Ints) -> None:
        """Remember what the next piece needs, and nothing older."""
        passed = ready * BLOCK - CONTEXT
        self._base[rows] += passed
        self._fill[rows] = fill - passed
        for start in np.unique(passed).tolist():
            mine = passed == start
            kept = wave[mine, start : start + TAIL]
            self._tail[rows[mine], : kept.shape[1]] = kept
        for row in [row for row in self._gaps if row in set(rows.tolist())]:
            since = self._base[row] - ASTRAY * int(self._adaptive[row])
            self._gaps[row] = [gap for gap in self._gaps[row] if gap.stop > since]
            if not self._gaps[row]:
                del self._gaps[row]
        for row in [row for row in self._runs if row in set(rows.tolist())]:
            runs = self._runs[row]
            self._runs[row] = {d: run for d, run in runs.items() if run.reached > self._base[row]}
            if not self._runs[row]:
                del self._runs[row]


def _sieve_columns() -> Wave:
    phase = 2 * np.pi / RATE * np.outer(np.arange(BLOCK), LOW + HIGH)
    columns = np.concatenate((np.cos(phase), np.sin(phase)), axis=1) * np.sqrt(2 / BLOCK)
    return np.asarray(columns, np.float32)


SIEVE = _sieve_columns()


def _sieved(wave: Wave, ready: Ints) -> tuple[Ints, Ints]:
    """The blocks that may hold two tones: row of the wave and number, from the first that is new to the last ready."""
    # A product for each row: one of all rows at once would be shared out to threads that cost more than they save.
    blocks = wave.reshape(len(wave), -1, BLOCK)[:, CONTEXT // BLOCK :]
    products = blocks @ SIEVE
    energy = np.vecdot(blocks, blocks)
    powers = np.ascontiguousarray(products.reshape(-1, products.shape[2]).T)
    powers *= powers
    powers[: len(LOW + HIGH)] += powers[len(LOW + HIGH) :]
    low, high = (_largest(powers[at : at + 4]).reshape(energy.shape) for at in (0, 4))
    both = low + high
    passed = both > SIEVE_SHARE * energy
    passed &= np.minimum(low, high) > SIEVE_TWIST * both
    passed &= energy > QUIET * BLOCK
    rows, numbers = np.nonzero(passed)
    numbers += CONTEXT // BLOCK
    wanted = numbers < ready[rows]
    return rows[wanted], numbers[wanted]


def _largest(four: Wave) -> Wave:
    largest: Wave = np.maximum(np.maximum(four[0], four[1]), np.maximum(four[2], four[3]))
    return largest


def _tones(fitting: Basis, windows: Wave, fits: Fits, coded: Bools, least: float) -> list[tuple[int, float]]:
    """The windows that are two tones by at least a share, and besides no third sound, as voice has; and those shares."""
    cut = (np.abs(windows) >= CUT_LEVEL * np.abs(windows).max(axis=1, keepdims=True)).mean(axis=1) >= CUT_PART
    shares = np.minimum(fits.share + CODED_SHARE * coded + CUT_SHARE * cut, 1)
    near = np.flatnonzero((shares >= least) & (np.abs(fits.twist) <= MASK_TWIST) & ~fits.astray)
    most = OTHER_SHARE + OTHER_OF_REST * (1 - fits.share[near])
    most *= np.where(coded[near], CODED_OTHER, 1)
    most[cut[near]] = CUT_OTHER
    clean = near[fitting.loudest_other(windows, fits, near) <= most]
    return list(zip(clean.tolist(), shares[clean].tolist(), strict=True))


def _hit(
    fits: Fits, index: int, share: float, start: int, stop: int, coded: bool, turn: int | None = None
) -> Hit:
    twist, power = float(fits.twist[index]), float(fits.power[index])
    return Hit(
        start=start,
        stop=stop,
        digit=fits.key(index),
        share=share,
        firm=share >= PRESS_SHARE and abs(twist) <= PRESS_TWIST and power >= PRESS_POWER,
        measures=(*fits.steps(index), 10 * log10(power) / (CODED_LEVEL if coded else 1)),
        turn=_turn(start) if turn is None else turn,
        gapped=turn is not None,
    )


def _turn(position: int) -> int:
    """Where the first block begins that begins no earlier."""
    return -(-position // BLOCK) * BLOCK


def _about(wave: Wave, gap: Gap, base: int) -> Iterator[tuple[Basis, _Piece]]:
    """What ends at a gap, what lies on both sides of it, and what begins after it."""
    start, stop = gap.start - base, gap.stop - base
    around = np.concatenate((wave[start - BRIDGE : start], wave[stop : stop + BRIDGE]))
    yield basis(EDGE), _Piece(gap, gap.start - EDGE, gap.start, wave[start - EDGE : start])
    yield basis(BRIDGE, stop - start, BRIDGE), _Piece(gap, gap.start - BRIDGE, gap.stop + BRIDGE, around)
    yield basis(EDGE), _Piece(gap, gap.stop, gap.stop + EDGE, wave[stop : stop + EDGE])


def _add_gap(gaps: list[Gap], gap: Gap) -> None:
    """Gaps that touch are one."""
    if gaps and gaps[-1].stop == gap.start:
        gap = Gap(gap.row, gaps.pop().start, gap.stop)
    gaps.append(gap)
