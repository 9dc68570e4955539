"""Calls placed by sipp, with media sent by sipp and ffmpeg."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.end_to_end import judge
from tests.end_to_end.gateway import HOST, Gateway, free_port

SCENARIOS = Path(__file__).parents[1] / "scenarios"
LEGS = {"external": SCENARIOS / "first_leg.alaw", "agent": SCENARIOS / "second_leg.alaw"}
PACKETS = 150  # three seconds of 20 ms
SIPP_SECONDS = 30

# Both legs by one ffmpeg, which sends them in step.
TOGETHER = (
    '<exec command="ffmpeg -v error'
    " -re -f alaw -ar 8000 -ac 1 -i first_leg.alaw -re -f alaw -ar 8000 -ac 1 -i second_leg.alaw"
    " -map 0 -c copy -f rtp 'rtp://[remote_ip]:[$first]?pkt_size=172'"
    " -map 1 -c copy -f rtp 'rtp://[remote_ip]:[$second]?pkt_size=172'\"/>"
)


@dataclass(frozen=True, slots=True)
class Call:
    """One run of sipp."""

    name: str
    transport: str  # as sipp's -t names it
    number: str
    together: bool

    def place(self, server: tuple[str, int], folder: Path) -> None:
        shutil.copytree(SCENARIOS, folder)
        scenario = (SCENARIOS / "siprec_two_legs.xml").read_text(encoding="utf-8")
        if self.together:
            scenario, count = re.subn(
                r"<exec rtp_stream.*?/>\s*<exec command.*?/>", lambda _: TOGETHER, scenario
            )
            assert count == 1
        (folder / "call.xml").write_text(scenario, encoding="utf-8")
        host, port = server
        command = f"sipp {host}:{port} -sf call.xml -m 1 -t {self.transport} -i {HOST} -mi {HOST}"
        command += f" -p {free_port()} -mp {free_port() & ~1} -key caller {self.number} -key agent 231"
        command += f" -timeout {SIPP_SECONDS} -nostdin -trace_err"
        ended = subprocess.run(
            command.split(), cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
        errors = "".join(file.read_text(errors="replace") for file in folder.glob("*errors.log"))
        assert ended.returncode == 0, errors or ended.stderr.decode()


CALLS = (
    Call("udp", "u1", "+15551230001", together=False),
    Call("udp_together", "u1", "+15551230002", together=True),
    Call("tcp_together", "t1", "+15551230003", together=True),
)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway at which all calls have been recorded, at the same time."""
    folder = tmp_path_factory.mktemp("sipp")
    judge.decode(b"", "PCMA")  # has ffmpeg in memory: its first start takes seconds
    with Gateway(folder / "gateway") as gateway, ThreadPoolExecutor() as threads:
        list(threads.map(lambda call: call.place(gateway.server, folder / call.name), CALLS))
        gateway.wait_idle()
        yield gateway


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.name)
def test_every_sample_is_exported_as_it_was_sent(gateway: Gateway, call: Call) -> None:
    recorded = gateway.call_of(call.number)
    assert (recorded["state"], recorded["direction"]) == ("recorded", "inbound")
    exported = gateway.export(recorded["id"])
    places = [
        judge.place_in(exported[:, column].copy(), judge.decode(LEGS[leg].read_bytes(), "PCMA"))
        for column, leg in enumerate(("external", "agent"))
    ]
    if call.together:
        assert abs(places[0] - places[1]) <= 0.02 * judge.SECOND


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.name)
def test_every_packet_is_counted(gateway: Gateway, call: Call) -> None:
    for leg in gateway.call_of(call.number)["legs"]:
        counts = {"packets": PACKETS, "lost": 0, "late": 0, "duplicated": 0}
        assert leg == leg | counts | {"codec": "PCMA", "seconds": 3.0}


def test_all_is_verified(gateway: Gateway) -> None:
    verdicts = gateway.verify()
    assert len(verdicts) == len(CALLS)
    assert all(verdict["ok"] and verdict["problem"] is None for verdict in verdicts)
