"""Calls between two sipps, without one line of our SIP: heard by UDP and TCP alike."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end import judge
from tests.end_to_end.gateway import until
from tests.end_to_end.sipp import SCENARIOS
from tests.end_to_end.wire import FAR, NEAR, TappingGateway, Wire

SPOKEN = (SCENARIOS / "first_leg.alaw").read_bytes()
SECONDS = 40


def _listens(process: subprocess.Popen[bytes]) -> bool:
    """Whether the other telephone is there; /proc/PID/net tells of its namespace."""
    assert process.poll() is None
    tables = (Path(f"/proc/{process.pid}/net/{name}").read_text(encoding="ascii") for name in ("udp", "tcp"))
    return any(":13C4 " in table for table in tables)  # 5060


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    with Wire() as wire:
        yield wire


@pytest.fixture(scope="module")
def gateway(wire: Wire, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TappingGateway]:
    with TappingGateway(tmp_path_factory.mktemp("sipp"), wire) as gateway:
        yield gateway


@pytest.mark.parametrize(("transport", "number"), [("u1", "+15551230001"), ("t1", "+15551230002")])
def test_a_call_of_sipp_is_recorded_as_it_was_spoken(
    wire: Wire, gateway: TappingGateway, tmp_path: Path, transport: str, number: str
) -> None:
    over = gateway.metric("hushtap_calls_total")
    answers = f"sipp -sn uas -rtp_echo -t {transport} -i {NEAR} -mi {NEAR} -p 5060 -mp 7000 -m 1 -nostdin"
    calls = (
        f"sipp {NEAR}:5060 -sf {SCENARIOS}/telephone.xml -m 1 -t {transport} -i {FAR} -mi {FAR} -p 5062"
        f" -mp 7100 -key caller {number} -s 231 -timeout {SECONDS} -nostdin"
    )
    callee = subprocess.Popen(wire.program(NEAR, *answers.split()), cwd=tmp_path, stdout=subprocess.DEVNULL)
    try:
        until("the other telephone is there", lambda: _listens(callee), 20.0)
        called = subprocess.run(
            wire.program(FAR, *calls.split()), cwd=SCENARIOS, check=False, capture_output=True
        )
    finally:
        callee.kill()
        callee.wait()
    assert called.returncode == 0, called.stderr.decode()
    until("the call is over", lambda: gateway.metric("hushtap_calls_total") > over, 30.0)
    facts = gateway.call_of(number)
    assert (facts["state"], facts["direction"]) == ("recorded", "inbound")
    people = {party["role"]: party["number"] for party in facts["participants"]}
    assert people == {"external": number, "agent": "231"}
    (recording,) = facts["recordings"]
    stored = judge.legs(judge.plaintexts(gateway.storage, recording))
    assert set(stored) == {"external", "agent"}
    for leg in stored.values():
        judge.placed(leg, judge.octets([(0, SPOKEN)]))
