"""What the hotkey knows, asks for, shows and sounds: a machine without I/O. Times are monotonic seconds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

ANSWER_SECONDS = 5.0  # longer than the gateway waits for its media worker; then nobody knows
MESSAGE_SECONDS = 10.0  # a sentence stays this long
AGAIN_SECONDS = 5.0  # within which the opt-out key is pressed a second time
REACH_SECONDS = 10.0  # the gateway takes no press that is older


class State(StrEnum):
    RECORDING = "recording"
    PAUSED = "paused"
    OFF = "off"
    UNKNOWN = "unknown"
    IDLE = "idle"  # no call


class Key(StrEnum):
    PAUSE = "pause"  # and resume
    OPT_OUT = "opt-out"


class Tone(StrEnum):
    RECORDING = "recording"
    PAUSED = "paused"
    OFF = "off"
    FAULT = "fault"  # unknown, not confirmed, not done
    AGAIN = "again"  # a second press is waited for


@dataclass(frozen=True, slots=True)
class Call:
    """A call as the gateway says it stands."""

    id: str
    state: State
    seconds: float
    waits: bool  # it is on hold, or was hung up while its last words can still be paused


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a request: an Outcome of the gateway's, or denied, forbidden, gone, crowded, unanswered."""

    outcome: str
    why: str = ""
    call: Call | None = None


@dataclass(frozen=True, slots=True)
class Ask:
    """To be sent to the gateway; `pressed` is when the key was."""

    number: int
    path: str
    reason: str
    pressed: float


Effect = Ask | Tone


@dataclass(frozen=True, slots=True)
class View:
    """What a person sees."""

    state: State
    seconds: float | None  # in this state
    asking: bool
    message: str


TONES = {
    State.RECORDING: Tone.RECORDING,
    State.PAUSED: Tone.PAUSED,
    State.OFF: Tone.OFF,
    State.UNKNOWN: Tone.FAULT,
}
# Never the opposite of what is shown: two people who press at once both get what they meant.
ACTIONS = {State.RECORDING: "pause", State.PAUSED: "resume", State.UNKNOWN: "pause"}
DOUBT = "treat the call as being recorded"
FAULTS = {
    "denied": "the gateway does not know this token",
    "gone": "that call is over",
    "crowded": "too many presses: wait a moment",
    "unanswered": f"the gateway did not answer: {DOUBT}",
}


class Desk:
    """Every method gives what is to be done now."""

    def __init__(self, extension: str = "", reason: str = "", opt_out_reason: str = "") -> None:
        self._extension = extension
        self._reasons = {"pause": reason, "opt-out": opt_out_reason}
        self._linked = False
        self._call: Call | None = None
        self._heard = 0.0
        self._asked: Ask | None = None
        self._count = 0
        self._told: State | None = None  # the state last shown
        self._sounded: Tone | None = None  # the last one since the last press
        self._message, self._until = "", 0.0
        self._again = 0.0  # until then a second press opts out

    def heard(self, calls: tuple[Call, ...], now: float) -> list[Effect]:
        """The gateway's word on how all calls stand, the latest begun first."""
        self._linked, self._heard = True, now
        self._call = _chosen(calls, self._call)
        return self._settle()

    def lost(self, why: str, now: float) -> list[Effect]:
        """The gateway is not heard any more, or not yet."""
        self._linked = False
        if why:
            self._say(why, now)
        return self._settle()

    def pressed(self, key: Key, at: float, now: float) -> list[Effect]:
        """A key was pressed at `at`. While an answer is waited for, presses do nothing."""
        if self._asked:
            return []
        state = self._state()
        path = self._path()
        if state is State.OFF:
            return [Tone.OFF]
        if state is State.IDLE or not path:
            self._say("no call is running", now)
            return [Tone.FAULT]
        action = ACTIONS[state]
        if key is Key.OPT_OUT:
            if now >= self._again:
                self._again = now + AGAIN_SECONDS
                self._say("press again to stop recording this call for good", now)
                return [Tone.AGAIN]
            action = "opt-out"
        self._count += 1
        self._again, self._message, self._sounded = 0.0, "", None
        self._asked = Ask(self._count, f"{path}/{action}", self._reasons.get(action, ""), at)
        self._deadline = now + ANSWER_SECONDS
        return [self._asked]

    def answered(self, number: int, answer: Answer, now: float) -> list[Effect]:
        """What became of a request."""
        if self._asked is None or self._asked.number != number:
            return []
        self._asked = None
        told = answer.call
        if told and self._linked and self._call and told.id == self._call.id:
            self._call, self._heard = told, now
        effects = self._settle()
        done = answer.outcome in ("applied", "unchanged", "late")
        if not done:
            self._say(_fault(answer), now)
        elif answer.outcome == "late":
            self._say(f"late: {answer.why}", now)
        due = TONES[told.state] if done and told else Tone.FAULT
        return effects if self._sounded is due else [*effects, self._sound(due)]

    def tick(self, now: float) -> list[Effect]:
        """Called a few times a second."""
        if self._message and now >= self._until:
            self._message = ""
        if self._asked and now >= self._deadline:
            return self.answered(self._asked.number, Answer("unanswered"), now)
        return []

    def view(self, now: float) -> View:
        state = self._state()
        known = self._call if state not in (State.IDLE, State.UNKNOWN) else None
        seconds = known.seconds + now - self._heard if known else None
        return View(state, seconds, self._asked is not None, self._message)

    def _state(self) -> State:
        if not self._linked:
            return State.UNKNOWN
        return self._call.state if self._call else State.IDLE

    def _path(self) -> str:
        """Of the call seen; where none is seen for want of a link, of the extension's."""
        if self._call:
            return f"calls/{self._call.id}"
        return f"extensions/{self._extension}" if self._extension else ""

    def _settle(self) -> list[Effect]:
        """The tone of a state that is new; a call that begins or ends as usual makes none."""
        before, state = self._told, self._state()
        self._told = state
        usual = state is State.RECORDING and before in (None, State.IDLE)
        if state is before or state is State.IDLE or usual:
            return []
        return [self._sound(TONES[state])]

    def _sound(self, tone: Tone) -> Tone:
        self._sounded = tone
        return tone

    def _say(self, text: str, now: float) -> None:
        self._message, self._until = text, now + MESSAGE_SECONDS


def _chosen(calls: tuple[Call, ...], before: Call | None) -> Call | None:
    """The call acted on stays the same until it is over, or waits while another is spoken."""
    spoken = next((call for call in calls if not call.waits), None)
    same = next((call for call in calls if before and call.id == before.id), None)
    if same and not (same.waits and spoken):
        return same
    return spoken or (calls[0] if calls else None)


def _fault(answer: Answer) -> str:
    if answer.outcome == "unconfirmed":
        return f"not confirmed: {DOUBT}"
    return FAULTS.get(answer.outcome) or f"not done: {answer.why}"
