"""What the API takes and gives, as models; `shown` writes the commonest of them without the cost of one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

from gateway.console.agents import Right
from gateway.recording.control import MARKERS, CallStatus, Result
from gateway.recording.messages import Outcome, RecordingNow
from gateway.recording.model import Cause, Direction

NS = 1e9
LONGEST_REASON = 32  # characters, as the settings' codes
LONGEST_AGO_MS = 10_000  # a key is told of at once; more would reach into what another press decided


class Shape(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


def _whole(number: object) -> object:
    """To JSON Schema 120.0 is an integer, too."""
    return int(number) if isinstance(number, float) and number.is_integer() else number


class Ask(Shape):
    """What a request to act may say; each action reads what concerns it."""

    reason: Annotated[
        str | None,
        Field(max_length=LONGEST_REASON, description="pause, toggle, opt-out: one of the configured codes."),
    ] = None
    ago_ms: Annotated[
        int,
        Field(ge=0, le=LONGEST_AGO_MS, description="pause, toggle: how long ago the key was pressed."),
        BeforeValidator(_whole),
    ] = 0
    kind: Annotated[
        Literal[MARKERS] | None,  # type: ignore[valid-type]
        Field(description="markers: what is noted; there it is required."),
    ] = None


class Status(Shape):
    """How a running call stands."""

    call: Annotated[str, Field(description="The call's id.")]
    state: RecordingNow
    since: Annotated[AwareDatetime, Field(description="When this state began, UTC.")]
    seconds: Annotated[float, Field(ge=0, description="How long it has lasted.")]
    cause: Annotated[Cause | None, Field(description="Of what paused or stopped it, the latest.")]
    actor: Annotated[str | None, Field(description="The id of the token by which.")]
    resumes_in_seconds: Annotated[
        float | None, Field(ge=0, description="Until it is recorded again by itself; null: not by itself.")
    ]
    warning: Annotated[bool, Field(description="That is soon.")]
    held: Annotated[bool, Field(description="The caller is on hold.")]
    ended: Annotated[
        bool, Field(description="Hung up: its last seconds wait in memory, and may still not be recorded.")
    ]
    direction: Direction
    started: Annotated[AwareDatetime, Field(description="When the call began, UTC.")]
    extensions: Annotated[list[str], Field(description="Of the agents who are on it now.")]


class Calls(Shape):
    calls: Annotated[list[Status], Field(description="The latest begun first.")]


class Holder(Shape):
    """What a token may do here."""

    actor: Annotated[str, Field(description="The token's id, as it is noted with what was done.")]
    extensions: Annotated[list[str] | None, Field(description="null: all.")]
    may: list[Right]
    reasons: Annotated[list[str], Field(description="Codes of reasons that may be given.")]
    require_reason: Annotated[list[str], Field(description="Actions that are refused without one.")]
    markers: Annotated[list[str], Field(description="Kinds of markers.")]


class Done(Shape):
    """What became of a request that is now true."""

    outcome: Literal[Outcome.APPLIED, Outcome.UNCHANGED]
    why: str
    status: Status


class Live(Shape):
    """A message of the WebSocket."""

    type: Literal["calls"]
    calls: list[Status]


class Hello(Shape):
    """The first and only message of a WebSocket's client."""

    token: Annotated[str, Field(max_length=128)]
    extension: Annotated[
        str | None, Field(max_length=64, description="Only this extension's calls; null: all of the token's.")
    ] = None


class Fault(Shape):
    pointer: Annotated[str, Field(description="Where in the body (RFC 6901).")]
    detail: str


class ProblemDetails(Shape):
    """Problem details (RFC 9457) of type about:blank; further members are there where they apply."""

    title: str
    status: Annotated[int, Field(description="The HTTP status.")]
    detail: str
    outcome: Annotated[
        Literal[Outcome.LATE, Outcome.REFUSED, Outcome.UNCONFIRMED] | None,
        Field(description="What became of a request to act."),
    ] = None
    call_status: Annotated[Status | None, Field(description="How the call stands now.")] = None
    allowed: Annotated[list[str] | None, Field(description="What may be given.")] = None
    errors: Annotated[list[Fault] | None, Field(description="What is wrong with the body.")] = None


def shown(status: CallStatus, now_ns: int) -> dict[str, Any]:
    """A `Status`, at a moment of UTC."""
    resumes = status.resumes_ns
    return {
        "call": status.call_id,
        "state": status.state,
        "since": moment(status.since_ns),
        "seconds": _seconds(now_ns - status.since_ns),
        "cause": status.cause,
        "actor": status.actor,
        "resumes_in_seconds": None if resumes is None else _seconds(resumes - now_ns),
        "warning": status.warning,
        "held": status.held,
        "ended": status.ended,
        "direction": status.direction,
        "started": moment(status.started_ns),
        "extensions": [extension.reveal() for extension in status.extensions],
    }


def shown_result(result: Result, now_ns: int) -> dict[str, Any]:
    return {"outcome": result.outcome, "why": result.why, "status": shown(result.status, now_ns)}


def moment(ns: int) -> str:
    """RFC 3339, UTC, to the millisecond."""
    return datetime.fromtimestamp(ns / NS, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def _seconds(ns: int) -> float:
    return max(0.0, round(ns / NS, 3))
