"""What sipp and ffmpeg sent is what comes out."""

from __future__ import annotations

import pytest

from tests.end_to_end import judge, sipp
from tests.end_to_end.conftest import Recorded


@pytest.mark.parametrize("call", sipp.CALLS, ids=lambda call: call.name)
def test_every_sample_is_exported_as_it_was_sent(recorded: Recorded, call: sipp.Call) -> None:
    listed = recorded.listed[call.name]
    assert (listed["state"], listed["direction"]) == ("recorded", "inbound")
    exported = recorded.gateway.export(listed["id"])
    places = [
        judge.place_in(exported[:, column].copy(), judge.decode(sipp.LEGS[leg].read_bytes(), "PCMA"))
        for column, leg in enumerate(("external", "agent"))
    ]
    if call.together:
        assert abs(places[0] - places[1]) <= 0.02 * judge.SECOND


@pytest.mark.parametrize("leg", ["external", "agent"])
def test_one_leg_is_exported_alone(recorded: Recorded, leg: str) -> None:
    exported = recorded.gateway.export(recorded.listed["udp"]["id"], leg)
    assert exported.shape[1] == 1
    judge.place_in(exported[:, 0], judge.decode(sipp.LEGS[leg].read_bytes(), "PCMA"))


@pytest.mark.parametrize("call", sipp.CALLS, ids=lambda call: call.name)
def test_every_packet_is_counted(recorded: Recorded, call: sipp.Call) -> None:
    for leg in recorded.listed[call.name]["legs"]:
        counts = {"packets": sipp.PACKETS, "lost": 0, "late": 0, "duplicated": 0}
        assert leg == leg | counts | {"codec": "PCMA", "seconds": 3.0}
