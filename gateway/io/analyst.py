"""Measures the speech in calls that have ended, in a process of its own that yields to everything else.

One job a line comes on standard input, one answer a line goes to standard output; standard input's end ends it.
Sealed parts are decrypted and decoded piece by piece, in memory that is kept to itself, and only numbers leave it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from contextlib import ExitStack
from dataclasses import asdict, replace
from functools import partial

import webrtcvad

from gateway.codecs.rendering import render
from gateway.codecs.stored import stored_blocks
from gateway.io.jobs import Job, Measured, SealedPart
from gateway.io.log import begin_childs_log
from gateway.io.process_metrics import resident_bytes
from gateway.io.secrecy import lock_memory, refuse_dumps
from gateway.recording.model import UNITS_PER_SECOND, Speech
from gateway.recording.speech import SpeechMeter
from gateway.storage import canonical, container
from gateway.storage.sealing import open_sealed

LEAST_PRIORITY = 19
AGGRESSIVENESS = 2  # of 0 to 3: telephone noise is rarely taken for speech, quiet speakers are still heard
RATE = UNITS_PER_SECOND


def measure(job: Job) -> tuple[Speech, ...]:
    """The figures of a call's legs. Raises what reading and decoding the parts raise."""
    detectors = {
        role: partial(webrtcvad.Vad(AGGRESSIVENESS).is_speech, sample_rate=RATE) for role in job.legs
    }
    meter = SpeechMeter(detectors, RATE)
    with ExitStack() as files:
        parts = [_opened(part, files) for part in job.parts]
        blocks = stored_blocks(parts, job.redactions)
        for samples in render(blocks, job.legs, job.length_units, job.redactions, RATE):
            meter.take(samples)
    return meter.result()


def _opened(part: SealedPart, files: ExitStack) -> container.Reader:
    file = files.enter_context(open(part.path, "rb"))  # noqa: SIM115
    key, recording_id = bytes.fromhex(part.key), part.recording_id.encode("ascii")
    return container.read(open_sealed(file, key, recording_id, torn=part.torn), swapped=part.swapped)


def _answer(line: bytes) -> Measured:
    try:
        return Measured(measure(canonical.build(Job, json.loads(line))), "")
    except Exception as error:  # noqa: BLE001 one call that cannot be read does not end the others'
        return Measured((), f"{type(error).__name__} while it was read")


def main() -> None:
    """Work until the control process closes standard input."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal signals all; the control process decides
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    begin_childs_log()
    os.nice(LEAST_PRIORITY)
    refuse_dumps()
    lock_memory()
    told_ns = 0
    for line in sys.stdin.buffer:
        answer = _answer(line)
        before, told_ns = told_ns, time.process_time_ns()
        answer = replace(answer, cpu_ns=told_ns - before, resident_bytes=resident_bytes())
        print(json.dumps(asdict(answer)), flush=True)


if __name__ == "__main__":
    main()
