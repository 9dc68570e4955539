"""Calls between a SIP machine and a worker that only listens, with a storage that takes its time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import cast

from gateway.codecs.registry import supported
from gateway.config.settings import parse
from gateway.io.calls import Calls
from gateway.io.metrics import Metrics
from gateway.io.sip import SipServer
from gateway.io.store import Store
from gateway.recording.call import Opening
from gateway.recording.messages import Close, Command, Open, Pause, Press, Reformat, Resume
from gateway.recording.model import CallFacts, Direction, Role
from gateway.redaction.digit import Digit
from gateway.sip.effects import Flow, Send
from gateway.siprec.effects import Changed, Ended, KeyPressed, Offered
from gateway.siprec.session import RecordingServer
from gateway.siprec.wishes import wishes

CLIENT = Flow("udp", ("127.0.0.1", 5070), ("127.0.0.1", 5060))
LARGE = 1 << 40


class SlowStore:
    """Keeps what it was told last of each call; everything takes a turn of the event loop."""

    vault = SimpleNamespace(free_bytes=lambda: LARGE)

    def __init__(self) -> None:
        self.facts: dict[str, CallFacts] = {}

    async def begin(self, opening: Opening, recording_id: str) -> str:
        await asyncio.sleep(0)
        return bytes(32).hex()

    async def put(self, facts: CallFacts) -> None:
        await asyncio.sleep(0)
        self.facts[facts.id] = facts

    def folder(self, opening: Opening) -> Path:
        return Path(opening.call_id)


class Bench:
    """Calls, and everything around them."""

    def __init__(self, folder: Path, max_calls: int = 2, **sections: dict[str, object]) -> None:
        media = {"max_calls": max_calls, "first_port": 40100, "last_port": 40199}
        attach = [{"kind": "tap", "interfaces": ["eth1"]}]
        settings = parse({"media": media, "attach": attach, **sections}, "test", folder)
        tokens = count()
        self.machine = RecordingServer(
            supported=supported,
            token=lambda: f"token{next(tokens)}",
            max_message_bytes=65_535,
            max_sessions=10 * max_calls,
            wish=wishes(settings.optout.off_headers, settings.optout.on_headers),
        )
        self.store = SlowStore()
        self.told: list[Command] = []
        self.sent: list[str] = []
        self.calls = Calls(
            settings, cast(Store, self.store), Metrics(), 1, self._tell, lambda facts, keys: None
        )
        self.calls.sip = cast(
            SipServer, SimpleNamespace(machine=self.machine, now=lambda: 0.0, act=self._act)
        )

    def give(self, data: bytes) -> None:
        self._act(self.machine.receive(data, CLIENT, 0.0))

    def _tell(self, worker: int, command: Command, sockets: Sequence[int]) -> None:
        self.told.append(command)

    def _act(self, effects: Iterable[object]) -> None:
        for effect in effects:
            match effect:
                case Send(data):
                    self.sent.append(data.decode())
                case Offered() | Changed() | Ended() | KeyPressed():
                    self.calls.hear(effect)

    def statuses(self) -> list[str]:
        return [text.split()[1] for text in self.sent if not text.startswith("SIP/2.0 100")]


def description(streams: int = 2, direction: str = "sendonly") -> str:
    lines = [f"m=audio {6000 + 2 * n} RTP/AVP 8\r\na={direction}\r\na=label:{n}\r\n" for n in range(streams)]
    return "v=0\r\nc=IN IP4 127.0.0.1\r\n" + "".join(lines)


def metadata(speakers: Sequence[tuple[str, str]]) -> str:
    """RFC 7865, from each speaker's label and number."""
    elements = [
        f'<participant participant_id="p{label}"><nameID aor="sip:{number}@h"/></participant>'
        f'<stream stream_id="s{label}"><label>{label}</label></stream>'
        f'<participantstreamassoc participant_id="p{label}"><send>s{label}</send></participantstreamassoc>'
        for label, number in speakers
    ]
    return f"<recording>{''.join(elements)}</recording>"


def request(
    method: str, call: int, sequence: int, body: str, tag: str = "", kind: str = "application/sdp"
) -> bytes:
    return (
        f"{method} sip:srs@127.0.0.1 SIP/2.0\r\n"
        f"Via: SIP/2.0/UDP 127.0.0.1:5070;branch=z9hG4bK{method}{call}.{sequence}\r\n"
        f"From: <sip:src@127.0.0.1>;tag=peer\r\nTo: <sip:srs@127.0.0.1>{tag and ';tag=' + tag}\r\n"
        f"Call-ID: {call}\r\nCSeq: {sequence} {method}\r\nContact: <sip:src@127.0.0.1:5070>\r\n"
        f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


async def settled() -> None:
    """Wait until what was asked for is done."""
    await asyncio.sleep(0.05)


def run(
    folder: Path,
    play: Callable[[Bench], Awaitable[None]],
    optout: dict[str, object] | None = None,
    scope: dict[str, object] | None = None,
) -> Bench:
    async def playing() -> Bench:
        bench = Bench(folder, optout=optout or {}, scope=scope or {})
        await play(bench)
        await settled()
        for live in bench.calls._running:
            for each in live.sockets:
                each.close()
        return bench

    return asyncio.run(playing())


def test_calls_that_come_at_once_never_exceed_what_the_engine_holds(tmp_path: Path) -> None:
    async def play(bench: Bench) -> None:
        for number in range(5):
            bench.give(request("INVITE", number, 1, description()))

    bench = run(tmp_path, play)
    assert sorted(bench.statuses()) == ["200", "200", "503", "503", "503"]
    assert len(bench.told) == 2


def test_of_more_than_two_streams_two_are_recorded_and_the_rest_is_told(tmp_path: Path) -> None:
    async def play(bench: Bench) -> None:
        bench.give(request("INVITE", 1, 1, description(streams=3)))

    bench = run(tmp_path, play)
    assert bench.statuses() == ["200"]
    assert [line.split()[1] != "0" for line in bench.sent[-1].split("m=")[1:]] == [True, True, False]
    (opened,) = bench.told
    assert isinstance(opened, Open)
    assert len(opened.legs) == 2
    (live,) = bench.calls._running
    assert list(live.call._problems) == ["audio past the first 2 streams was offered and not recorded"]


def test_an_offer_of_unknown_codecs_is_refused_and_they_are_named(tmp_path: Path) -> None:
    async def play(bench: Bench) -> None:
        offer = (
            description()
            .replace("RTP/AVP 8", "RTP/AVP 7 96")
            .replace("a=label", "a=rtpmap:96 EVS/16000\r\na=label")
        )
        bench.give(request("INVITE", 1, 1, offer + "m=video 6010 RTP/AVP 8\r\n"))
        bench.give(request("INVITE", 2, 1, description().replace("RTP/AVP 8", "RTP/AVP 2 4")))
        for _ in range(400):
            if len(bench.store.facts) == 2:
                break
            await settled()

    bench = run(tmp_path, play)
    assert sorted(bench.statuses()) == ["200", "488"]
    assert "the client offered no audio that can be recorded, only LPC/8000, EVS/16000, video" in {
        facts.reason for facts in bench.store.facts.values()
    }


def test_a_call_may_begin_on_hold(tmp_path: Path) -> None:
    async def play(bench: Bench) -> None:
        bench.give(request("INVITE", 1, 1, description(direction="inactive")))
        await settled()
        bench.give(request("UPDATE", 1, 2, description(), tag="token1"))

    opened, *paused, first, second, released = run(tmp_path, play).told
    assert isinstance(opened, Open)
    assert isinstance(released, Reformat)
    assert (opened.held, released.held) == (True, False)
    assert [type(command) for command in (*paused, first, second)] == [Pause, Pause, Resume, Resume]
    assert all(isinstance(command, Pause) and command.at_ns == opened.started_ns for command in paused)


def test_a_line_that_is_closed_is_recorded_no_more_until_it_is_opened_again(tmp_path: Path) -> None:
    closed = description().replace("m=audio 6002", "m=audio 0")

    async def play(bench: Bench) -> None:
        bench.give(request("INVITE", 1, 1, description()))
        await settled()
        bench.give(request("UPDATE", 1, 2, closed, tag="token1"))
        bench.give(request("UPDATE", 1, 3, description(), tag="token1"))

    told = run(tmp_path, play).told
    turns = [command for command in told if isinstance(command, Pause | Resume)]
    assert [(type(command), command.legs) for command in turns] == [
        (Pause, (Role.AGENT,)),
        (Resume, (Role.AGENT,)),
    ]


def test_an_offer_that_is_refused_pauses_nothing(tmp_path: Path) -> None:
    async def play(bench: Bench) -> None:
        bench.give(request("INVITE", 1, 1, description()))
        await settled()
        bench.give(request("UPDATE", 1, 2, description().replace("RTP/AVP 8", "RTP/AVP 96"), tag="token1"))

    bench = run(tmp_path, play)
    assert bench.statuses() == ["200", "488"]
    assert [type(command) for command in bench.told] == [Open]


def test_a_connection_lost_during_set_up_is_no_cancel(tmp_path: Path) -> None:
    async def play(bench: Bench) -> None:
        flow = replace(CLIENT, transport="tcp", connection=1)
        bench._act(bench.machine.receive(request("INVITE", 1, 1, description()), flow, 0.0))
        bench._act(bench.machine.connection_lost(1, 0.0))

    bench = run(tmp_path, play)
    opened, closed = bench.told
    assert isinstance(opened, Open)
    assert isinstance(closed, Close)
    (live,) = bench.calls._running
    assert live.call._cause == "the connection was lost before the call was answered"


def test_sides_that_are_told_late_are_right_in_the_end(tmp_path: Path) -> None:
    told = metadata([("0", "4001"), ("1", "+4930123456")])

    async def play(bench: Bench) -> None:
        bench.give(request("INVITE", 1, 1, description()))
        await settled()
        bench.give(request("UPDATE", 1, 2, told, tag="token1", kind="application/rs-metadata+xml"))

    bench = run(tmp_path, play)
    (facts,) = bench.store.facts.values()
    assert facts.direction is Direction.OUTBOUND
    assert [recording.swapped for recording in facts.recordings] == [True]
    assert [leg.role for leg in facts.legs] == [Role.EXTERNAL, Role.AGENT]


def test_keys_told_of_by_info_go_to_the_worker_with_whose_they_are_where_that_is_known(
    tmp_path: Path,
) -> None:
    async def play(bench: Bench) -> None:
        for number, streams in enumerate((2, 1)):
            bench.give(request("INVITE", number, 1, description(streams)))
            await settled()
            tag = bench.sent[-1].partition("To: <sip:srs@127.0.0.1>;tag=")[2].split("\r\n")[0]
            for sequence, body in enumerate(("Signal=*\r\nDuration=120", "Signal=x", "Signal=7"), 2):
                bench.give(request("INFO", number, sequence, body, tag, "application/dtmf-relay"))

    bench = run(tmp_path, play)
    pressed = [command for command in bench.told if isinstance(command, Press)]
    calls = [command.call_id for command in bench.told if isinstance(command, Open)]
    keys = [(Digit.STAR, 120_000_000), (Digit.SEVEN, 0)]
    assert [(each.call_id, each.digit, each.lasts_ns) for each in pressed] == [
        (call, *key) for call in calls for key in keys
    ]
    assert [each.role for each in pressed] == [None, None, Role.EXTERNAL, Role.EXTERNAL]
    assert bench.statuses() == ["200"] * 8
