"""What the holder of a token does with running calls."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from gateway.config.api import ApiSettings
from gateway.console.agents import Agent, Right
from gateway.console.gate import Clock
from gateway.console.meters import Meters
from gateway.console.problems import Problem
from gateway.console.shapes import Ask, shown
from gateway.recording.control import MARKERS, CallStatus, Controls, NoSuchCall, Result
from gateway.recording.messages import Outcome, RecordingNow

NS_PER_MS = 1_000_000
NOT_THIS_EXTENSION = "this token is not for that extension"
NO_SUCH_CALL = "no such call is running, or it is none of this token's"


class Action(StrEnum):
    PAUSE = "pause"
    RESUME = "resume"
    TOGGLE = "toggle"
    OPT_OUT = "opt-out"
    EXTEND = "extend"
    MARK = "markers"


RIGHTS = {
    Action.PAUSE: Right.PAUSE,
    Action.RESUME: Right.PAUSE,
    Action.EXTEND: Right.PAUSE,
    Action.OPT_OUT: Right.OPT_OUT,
    Action.MARK: Right.MARK,
}


@dataclass(frozen=True, slots=True)
class Desk:
    controls: Controls
    settings: ApiSettings
    clock: Clock
    meters: Meters

    def holder(self, agent: Agent) -> dict[str, Any]:
        """A `Holder`."""
        return {
            "actor": agent.id,
            "extensions": None if agent.extensions is None else sorted(agent.extensions),
            "may": sorted(agent.rights),
            "reasons": self.settings.reasons,
            "require_reason": self.settings.require_reason,
            "markers": MARKERS,
        }

    def calls(self, agent: Agent, extension: str | None) -> list[CallStatus]:
        """The latest begun first. Raises Problem."""
        if extension is None:
            return self.controls.running(agent.extensions)
        self._expect(agent, extension)
        return self.controls.running([extension])

    def call(self, agent: Agent, call_id: str) -> CallStatus:
        """A call of the agent's; of any other nothing is told, not even whether it is. Raises Problem."""
        try:
            status = self.controls.status(call_id)
        except NoSuchCall:
            raise Problem(404, NO_SUCH_CALL) from None
        if any(agent.answers_for(extension) for extension in status.extensions) or agent.extensions is None:
            return status
        raise Problem(404, NO_SUCH_CALL)

    def call_of(self, agent: Agent, extension: str) -> CallStatus:
        """The call an extension is on: not hung up before all else, then not held, then the latest. Raises Problem."""
        self._expect(agent, extension)
        running = self.controls.running([extension])
        if not running:
            raise Problem(404, "no call of this extension is running")
        return min(running, key=lambda status: (status.ended, status.held))

    async def act(self, agent: Agent, status: CallStatus, action: Action, ask: Ask) -> Result:
        """Answers when it is done. Raises Problem where it is not."""
        if action is Action.TOGGLE:
            action = Action.RESUME if status.state is RecordingNow.PAUSED else Action.PAUSE
        self._check(agent, action, ask)
        began = self.clock.monotonic()
        try:
            result = await self._do(status, action, ask, agent.id)
        except NoSuchCall:
            raise Problem(404, "the call has ended") from None
        self.meters.acknowledgement.labels(action.value).observe(self.clock.monotonic() - began)
        if result.outcome in (Outcome.APPLIED, Outcome.UNCHANGED):
            return result
        raise Problem(
            504 if result.outcome is Outcome.UNCONFIRMED else 409,
            result.why or f"the request is {result.outcome.value}",
            outcome=result.outcome,
            call_status=shown(result.status, self.clock.utc_ns()),
        )

    async def _do(self, status: CallStatus, action: Action, ask: Ask, actor: str) -> Result:
        controls, call = self.controls, status.call_id
        match action:
            case Action.PAUSE:
                return await controls.pause(call, actor, ask.reason or "", ask.ago_ms * NS_PER_MS)
            case Action.RESUME:
                return await controls.resume(call, actor)
            case Action.EXTEND:
                return await controls.extend(call, actor)
            case Action.OPT_OUT:
                return await controls.opt_out(call, actor, ask.reason or "")
            case Action.MARK:
                return await controls.mark(call, actor, ask.kind or "")
            case Action.TOGGLE:
                raise AssertionError("a toggle is a pause or a resume by now")

    def _expect(self, agent: Agent, extension: str) -> None:
        if not agent.answers_for(extension):
            raise Problem(403, NOT_THIS_EXTENSION)

    def _check(self, agent: Agent, action: Action, ask: Ask) -> None:
        if RIGHTS[action] not in agent.rights:
            raise Problem(403, f"this token may not {RIGHTS[action].value}")
        if action is Action.MARK and ask.kind is None:
            raise Problem(422, "a marker needs its kind", allowed=MARKERS)
        if ask.reason is not None and ask.reason not in self.settings.reasons:
            raise Problem(422, "this reason is not among those configured", allowed=self.settings.reasons)
        if ask.reason is None and action in self.settings.require_reason:
            raise Problem(422, f"{action.value} needs a reason here", allowed=self.settings.reasons)
