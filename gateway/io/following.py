"""Which legs of an engine are overheard, and where: kept up to date with the commands that the engine obeys."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from gateway.recording.engine import Engine
from gateway.recording.messages import Close, Command, Join, LegPlan, MediaFlow, Open, Reformat
from gateway.rtp.packets import PacketBatch
from gateway.tap.flows import NEVER


class Heard(Protocol):
    """A tap, as far as legs go."""

    def set(self, leg: int, flow: MediaFlow, agreed_ns: int | None = None, began_ns: int = NEVER) -> None:
        """A leg takes the packets of this flow from now on; it was agreed on at a time, or just now, in a call that began."""

    def ending(self, leg: int, at_ns: int) -> None:
        """The call of a leg has ended; the leg is over a while later."""

    def release(self, leg: int) -> None:
        """A leg is over."""

    def early(self) -> list[PacketBatch]:
        """What came before its leg was there, of legs that are new."""


class Following:
    """`taps` by number; further ones may come."""

    def __init__(self, engine: Engine, taps: Mapping[int, Heard]) -> None:
        self._engine = engine
        self._taps = taps
        self._overheard: dict[str, dict[int, int]] = {}  # by call: its legs and the tap of each
        self._began: dict[str, int] = {}  # by call: ns

    def obeyed(self, commands: Iterable[Command]) -> None:
        """Take the packets of legs that a tap overhears from now on, and what came before they were known."""
        for command in commands:
            legs = self._engine.legs(command.call_id)
            if isinstance(command, Open):
                self._began.setdefault(command.call_id, command.started_ns)
            match command:
                case Open(legs=plans, agreed_ns=agreed_ns):
                    self._follow(command.call_id, legs, plans, agreed_ns)
                case Reformat(legs=plans):
                    self._follow(command.call_id, legs, plans)
                case Join(leg=plan):
                    self._follow(command.call_id, legs[-1:], [plan])
                case Close(at_ns=at_ns):
                    for leg, number in self._overheard.get(command.call_id, {}).items():
                        self._taps[number].ending(leg, at_ns)
        for tap in self._taps.values():
            for early in tap.early():
                self._engine.receive(early)

    def drop(self, calls: Iterable[str]) -> None:
        """Calls are over."""
        for call_id in calls:
            self._began.pop(call_id, None)
            for leg, tap in self._overheard.pop(call_id, {}).items():
                self._taps[tap].release(leg)

    def _follow(
        self, call_id: str, legs: Sequence[int], plans: Sequence[LegPlan], agreed_ns: int | None = None
    ) -> None:
        for leg, plan in zip(legs, plans, strict=False):
            if plan.flow and (tap := self._taps.get(plan.flow.tap)):
                tap.set(leg, plan.flow, agreed_ns, self._began.get(call_id, NEVER))
                self._overheard.setdefault(call_id, {})[leg] = plan.flow.tap
