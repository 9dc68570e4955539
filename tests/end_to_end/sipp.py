"""Calls placed by sipp, with media sent by sipp and ffmpeg."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.ports import HOST, free_port, free_range

SCENARIOS = Path(__file__).parents[1] / "scenarios"
LEGS = {"external": SCENARIOS / "first_leg.alaw", "agent": SCENARIOS / "second_leg.alaw"}
PACKETS = 150  # three seconds of 20 ms
TIMEOUT_SECONDS = 30
MEDIA_PORTS = 4  # of sipp: RTP and RTCP of audio, and of video

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
    together: bool  # whether the legs are sent in step

    def place(self, server: tuple[str, int], folder: Path) -> None:
        """Run sipp to its end in a folder that is made for it."""
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
        command += f" -p {free_port()} -mp {free_range(MEDIA_PORTS)} -key caller {self.number} -key agent 231"
        command += f" -timeout {TIMEOUT_SECONDS} -nostdin -trace_err"
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
