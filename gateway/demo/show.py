"""The demonstration: a gateway, three recorded calls, their list, their verification and their audio as files."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.progress import Progress
from rich.table import Table

from gateway.demo import speech
from gateway.demo.client import Client, ClientError, Leg, Network, Outcome, Party, Plan
from gateway.demo.gateway_process import PROGRAM, DemoError, Gateway

CODEC = "PCMA"
LOOK_SECONDS = 1.0  # between looks at the index
FINISH_SECONDS = 30.0  # after the last packet: the hold-back, and time to spare
FORMATS = ("wav", "mp3")

Row = dict[str, object]


@dataclass(frozen=True, slots=True)
class Scene:
    """One call of the demonstration."""

    dialogue: str  # of the speech files; also the name of its exports
    title: str
    external: Party
    agent: Party
    outbound: bool = False
    network: Network = field(default_factory=Network)

    def plan(self, seconds: float | None) -> Plan:
        """The call as long as its dialogue, or as told."""
        external, agent = (speech.load(self.dialogue, role, CODEC) for role in ("external", "agent"))
        caller, callee = Leg(self.external, external, "1"), Leg(self.agent, agent, "2")
        if self.outbound:
            caller, callee = callee, caller
        length = seconds or len(external) / 8000
        return Plan(caller, callee, length, CODEC, network=self.network, keep=False)


SCENES = (
    Scene("inbound", "inbound", Party("+15550100001", "Mara Quill"), Party("201", "Parts desk")),
    Scene(
        "outbound",
        "outbound",
        Party("+15550100002", "Harbour Bakery"),
        Party("202", "Dispatch"),
        outbound=True,
    ),
    Scene(
        "rough",
        "inbound, 5 % loss, jitter, reordering",
        Party("+15550100003", "Ines Marlow"),
        Party("203", "Service line"),
        network=Network(loss=0.05, jitter_ms=15, reorder=0.05, reorder_ms=60, seed=7),
    ),
)


async def run(
    folder: Path = Path("hushtap-demo"),
    console: Console | None = None,
    *,
    seconds: float | None = None,
    program: Sequence[str] = PROGRAM,
) -> int:
    """Show it all, in a new folder inside `folder`; the exit code. Calls last `seconds` instead of their dialogues.

    Ends its own gateway, whatever happens.
    """
    console = console or Console()
    place = folder / datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%SZ")
    try:
        console.print(f"Starting a gateway in [bold]{place}[/bold]", highlight=False)
        async with Gateway(place, program) as gateway:
            rows = await _record(gateway, console, seconds)
            good = await _verify(gateway, console)
            files = await _export(gateway, console, rows)
    except (DemoError, ClientError) as error:
        console.print(f"[red]{error}[/red]", highlight=False)
        return 1
    _tell(console, place, files)
    return 0 if good and all(row["state"] == "recorded" for row in rows) else 1


async def _record(gateway: Gateway, console: Console, seconds: float | None) -> list[Row]:
    """Place the calls at once and show what the index says of them until all are finished."""
    console.print(f"Three recording sessions to sip:{gateway.server[0]}:{gateway.server[1]}", highlight=False)
    rows: list[Row] = []
    with Live(_calls(rows), console=console, auto_refresh=False) as live:
        async with Client(gateway.server) as client:
            placing = asyncio.gather(*(client.place(scene.plan(seconds)) for scene in SCENES))
            try:
                while not placing.done():
                    rows = await _look(gateway, live)
                    await asyncio.wait((placing,), timeout=LOOK_SECONDS)
                _check_answered(placing.result())
            finally:
                placing.cancel()
                await asyncio.gather(placing, return_exceptions=True)
        deadline = asyncio.get_running_loop().time() + FINISH_SECONDS
        while len(rows) < len(SCENES) or any(row["state"] == "recording" for row in rows):
            if asyncio.get_running_loop().time() > deadline:
                raise DemoError(
                    f"the calls did not finish in {FINISH_SECONDS:.0f} s; the log is {gateway.log}"
                )
            await asyncio.sleep(LOOK_SECONDS)
            rows = await _look(gateway, live)
    console.print()
    return rows


async def _look(gateway: Gateway, live: Live) -> list[Row]:
    rows = await gateway.table("calls")
    live.update(_calls(rows), refresh=True)
    return rows


def _check_answered(outcomes: Sequence[Outcome]) -> None:
    for scene, outcome in zip(SCENES, outcomes, strict=True):
        if outcome.status >= 300:
            raise DemoError(f"the {scene.dialogue} call was answered {outcome.status} {outcome.reason}")


async def _verify(gateway: Gateway, console: Console) -> bool:
    """Whether every recording is authentic."""
    rows = await gateway.table("verify", "--all", codes=(0, 1))
    table = Table("recording", "segments", "authentic", title="Verified")
    for row in rows:
        said = "[green]yes[/green]" if row["ok"] else f"[red]{row['problem']}[/red]"
        table.add_row(str(row["id"]), str(row["segments"]), said)
    console.print(table)
    return bool(rows) and all(row["ok"] for row in rows)


async def _export(gateway: Gateway, console: Console, rows: Sequence[Row]) -> list[Path]:
    """Every call in every format."""
    target = gateway.folder / "exports"
    target.mkdir(mode=0o700)
    wanted = [(row, form) for row in rows for form in FORMATS]
    files: list[Path] = []
    with Progress(console=console, transient=True) as progress:
        for row, form in progress.track(wanted, description="Exporting"):
            file = target / f"{_name(row)}.{form}"
            options = ("--format", form, "--output", str(file), "--reason", "demonstration")
            await gateway.command("export", str(row["id"]), *options)
            files.append(file)
    return files


def _scene(row: Row) -> Scene | None:
    """Which call of the demonstration a row of the index is, by the outside number."""
    numbers = {party.get("number") for party in _list(row, "participants")}
    return next((scene for scene in SCENES if scene.external.number in numbers), None)


def _name(row: Row) -> str:
    scene = _scene(row)
    return scene.dialogue if scene else str(row["id"])


def _list(row: Row, name: str) -> list[Row]:
    value = row.get(name)
    return value if isinstance(value, list) else []


def _calls(rows: Sequence[Row]) -> Table:
    """The calls as the index has them, leg by leg."""
    table = Table("call", "state", "leg", "packets", "lost", "late", "seconds", title="Calls")
    for row in reversed(rows):  # the index lists the newest first
        scene = _scene(row)
        title, state = scene.title if scene else str(row["id"]), str(row["state"])
        for leg in _list(row, "legs") or [{}]:
            figures = (str(leg.get(name, "")) for name in ("role", "packets", "lost", "late", "seconds"))
            table.add_row(title, state, *figures)
            title = state = ""
    return table


def _tell(console: Console, place: Path, files: Sequence[Path]) -> None:
    console.print("The calls as files that any player opens:")
    for file in files:
        console.print(f"  {file}", highlight=False, soft_wrap=True)
    console.print(
        f"\nSealed, as they were written: {place / 'data' / 'audio'}", highlight=False, soft_wrap=True
    )
    console.print(
        f"Look on with: hushtap --config {place / 'hushtap.toml'} calls", highlight=False, soft_wrap=True
    )
