"""The engine runs as many lines of Python however many packets bring the audio of a tick.

Gaps are not packets: where tones are sought in the audio, the surroundings of each are looked at by themselves.
"""

from __future__ import annotations

import os
import sys
from types import FrameType
from typing import Any

import numpy as np
import pytest

from bench.engine import HOLD_BACK, SECOND, STARTED, TICK, WARM_TICKS, Traffic, plan
from gateway.recording.engine import Engine, EngineSettings
from gateway.recording.messages import Pause
from gateway.recording.model import Cause
from gateway.redaction.rules import Rules

CALLS, TICKS = 3, 20  # as many turns of each call as it takes to see all that a turn does
SHARE = 0.01  # of the lines that may differ: where tones are sought, windows begin where packets do


def lines(milliseconds: int, loss: float, inband: str, muted: bool) -> int:
    """How many are run in some ticks of calls that have begun to be written, in packets so long."""
    engine = Engine(EngineSettings(2 * CALLS, HOLD_BACK, 60 * SECOND, TICK, Rules(inband=inband)), os.urandom)
    plans = [plan(number, secured=False) for number in range(CALLS)]
    pauses = [Pause(plans[0].call_id, (), STARTED, Cause.CARD)] if muted else []
    engine.tick(STARTED, None, [*plans, *pauses])
    legs = np.array([leg for each in plans for leg in engine.legs(each.call_id)])
    traffic = Traffic(legs, milliseconds, loss, secured=False)
    run = 0

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal run
        run += event == "line"
        return trace

    before = sys.gettrace()
    for tick in range(WARM_TICKS + TICKS):
        batch = traffic.tick(tick)
        if tick >= WARM_TICKS:
            sys.settrace(trace)
        try:
            engine.tick(STARTED + (tick + 1) * TICK, batch)
        finally:
            sys.settrace(before)
    return run


@pytest.mark.parametrize("muted", [False, True], ids=["spoken", "one paused"])
@pytest.mark.parametrize(("loss", "inband"), [(0.0, "never"), (0.1, "never"), (0.0, "always")])
def test_four_times_the_packets_run_as_many_lines(loss: float, inband: str, muted: bool) -> None:
    few, many = (lines(milliseconds, loss, inband, muted) for milliseconds in (20, 5))
    assert few > 1000
    assert abs(many - few) < SHARE * few
