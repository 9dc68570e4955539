"""Measures the speech in calls that have ended, and searches them for the notice that they are recorded, in a process of its own that yields to everything else.

The notices come on standard input first, then one job a line; one answer a line goes to standard output; standard input's end ends it.
Sealed parts are decrypted and decoded piece by piece, in memory that is kept to itself, and only numbers leave it.
"""

from __future__ import annotations

import base64
import json
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, replace
from functools import partial

import numpy as np
import webrtcvad

from gateway.codecs.rendering import Block, render
from gateway.codecs.stored import lasts, stored_blocks
from gateway.io.background import begin_in_background
from gateway.io.jobs import Job, Measured, Notices, SealedPart
from gateway.io.process_metrics import resident_bytes
from gateway.recording.announcement import Coverage, Demand, NoticeMeter, announcement, hidden_spans
from gateway.recording.model import UNITS_PER_SECOND, Announcement
from gateway.recording.notice import Reference
from gateway.recording.speech import SpeechMeter
from gateway.storage import canonical, container
from gateway.storage.sealing import open_sealed

AGGRESSIVENESS = 2  # of 0 to 3: telephone noise is rarely taken for speech, quiet speakers are still heard
RATE = UNITS_PER_SECOND


class Analyst:
    """Knows the notices that calls are searched for."""

    def __init__(self, notices: Notices) -> None:
        self._references = tuple(
            Reference(notice.name, np.frombuffer(base64.b64decode(notice.samples), "<i2").astype(np.int16))
            for notice in notices.references
        )
        self._demand = Demand(notices.share_percent, notices.within_units)

    def measure(self, job: Job) -> Measured:
        """What is wanted to know of a call. Raises what reading and decoding the parts raise."""
        detectors = {
            role: partial(webrtcvad.Vad(AGGRESSIVENESS).is_speech, sample_rate=RATE) for role in job.roles
        }
        speech = SpeechMeter(detectors, RATE) if job.speech else None
        notice = NoticeMeter(self._references, job.roles, self._demand) if job.notice else None
        covered = Coverage(min(job.length_units, notice.span)) if notice else None
        with ExitStack() as files:
            parts = [_opened(part, files) for part in job.parts]
            blocks = _noted(stored_blocks(parts, job.redactions), covered)
            for samples in render(blocks, job.roles, job.length_units, job.redactions, RATE):
                for meter in (speech, notice):
                    if meter:
                        meter.take(samples)
                if not (speech or (notice and notice.wants_more)):
                    break
        return Measured(
            speech.result() if speech else (),
            "",
            self._verdict(job, notice, covered) if covered and notice else None,
        )

    def _verdict(self, job: Job, notice: NoticeMeter, covered: Coverage) -> Announcement:
        hidden = hidden_spans(job.legs, job.redactions, covered.result(), covered.until, job.earlier)
        return announcement(notice.result(), self._references, list(hidden), self._demand)


def _noted(blocks: Iterator[Block], covered: Coverage | None) -> Iterator[Block]:
    """The blocks as they are; where they have audio is noted."""
    for block in blocks:
        if covered and block.time < covered.until:
            covered.add(block.role, block.time, block.time + lasts(block))
        yield block


def _opened(part: SealedPart, files: ExitStack) -> container.Reader:
    file = files.enter_context(open(part.path, "rb"))  # noqa: SIM115
    key, recording_id = bytes.fromhex(part.key), part.recording_id.encode("ascii")
    return container.read(open_sealed(file, key, recording_id, torn=part.torn), swapped=part.swapped)


def _answer(analyst: Analyst, line: bytes) -> Measured:
    try:
        return analyst.measure(canonical.build(Job, json.loads(line)))
    except Exception as error:  # noqa: BLE001 one call that cannot be read does not end the others'
        return Measured((), f"{type(error).__name__} while it was read")


def main() -> None:
    """Hear what notices there are, then work until the control process closes standard input."""
    begin_in_background()
    analyst = Analyst(canonical.build(Notices, json.loads(sys.stdin.buffer.readline())))
    told_ns = 0
    for line in sys.stdin.buffer:
        answer = _answer(analyst, line)
        before, told_ns = told_ns, time.process_time_ns()
        answer = replace(answer, cpu_ns=told_ns - before, resident_bytes=resident_bytes())
        print(json.dumps(asdict(answer)), flush=True)


if __name__ == "__main__":
    main()
