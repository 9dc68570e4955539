"""One call through the endpoint: two legs, a notice, and what passes from one leg to the other.

Pure: every input gives back the actions to carry out, in order, before the next input. Phases:

    NOTICE      the caller is answered, or has early media, and hears the notice
    DIALLING    the practice's phone is called; the caller hears it ring, or what it sends early
    BRIDGED     they hear each other
    TRANSFER    the practice's phone has handed the call on, and is being hung up
    SORRY       the practice's phone did not take the call; the caller, who is answered, hears the busy tone
    OVER        both legs are hung up, or being hung up
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from gateway.endpoint.messages import Cause, Side

EARLY, OK, UNAVAILABLE = 183, 200, 480  # RFC 3261 section 21


class Phase(StrEnum):
    ARRIVED = "arrived"
    NOTICE = "notice"
    DIALLING = "dialling"
    BRIDGED = "bridged"
    TRANSFER = "transfer"
    SORRY = "sorry"
    OVER = "over"


class Sound(StrEnum):
    NOTICE = "notice"
    RINGING = "ringing"
    BUSY = "busy"


class Way(StrEnum):
    """How a key came, RFC 4733 or RFC 6086."""

    RTP = "rfc4733"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer the caller's leg; below 200 with media, if there is any to come."""

    status: int


@dataclass(frozen=True, slots=True)
class Play:
    """To the caller; any sound before it ends. All but the notice go round and round."""

    sound: Sound


@dataclass(frozen=True, slots=True)
class Hush:
    """End the sound."""


@dataclass(frozen=True, slots=True)
class Dial:
    """Call the practice's number, or to whom it has handed the call."""

    target: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Bridge:
    """Let the legs hear each other; `one_way`: only the caller the callee."""

    one_way: bool = False


@dataclass(frozen=True, slots=True)
class Hold:
    """Tell a leg that the other one is on hold, or no longer is."""

    side: Side
    on: bool


@dataclass(frozen=True, slots=True)
class Relay:
    """Pass a key on to a leg."""

    side: Side
    key: str
    way: Way

    def __repr__(self) -> str:
        return f"Relay({self.side})"


@dataclass(frozen=True, slots=True)
class HangUp:
    side: Side
    status: int  # for a leg that is not answered; an answered one gets BYE


@dataclass(frozen=True, slots=True)
class Arm:
    """Ask for `timed_out` after so many seconds; the one before is forgotten. None: for none."""

    seconds: float | None


@dataclass(frozen=True, slots=True)
class TellNotice:
    whole: bool


@dataclass(frozen=True, slots=True)
class TellBridged:
    pass


@dataclass(frozen=True, slots=True)
class TellOver:
    cause: Cause
    status: int = 0


Action = (
    Answer | Play | Hush | Dial | Bridge | Hold | Relay | HangUp | Arm | TellNotice | TellBridged | TellOver
)  # fmt: skip
Actions = list[Action]


@dataclass(frozen=True, slots=True)
class Manner:
    """How calls are treated."""

    notice: bool = True  # there is one
    notice_required: bool = False
    answer_late: bool = False
    ring_seconds: float = 60.0
    busy_seconds: float = 6.0
    notice_seconds: float = 300.0  # beyond which a notice that does not end is given up


class Conversation:
    """Drives nothing: a shell calls what happened, and does what comes back."""

    def __init__(self, manner: Manner) -> None:
        self._manner = manner
        self.phase = Phase.ARRIVED
        self._up: set[Side] = set()  # legs that are answered
        self._gone: set[Side] = set()  # legs that have ended, or were never begun
        self._held: set[Side] = set()  # legs whose peer has put us on hold
        self._cause = Cause.FAILED
        self._status = 0
        self._told = False
        self._dialled = False
        self._talked = False  # caller and practice heard each other
        self._target = ""  # to whom the call was handed on

    def arrived(self, offers: bool = True) -> Actions:
        """The INVITE came. Without an offer nothing can be played before the answer, so that there is none that is late."""
        return [Answer(EARLY if self._manner.answer_late and offers else OK)]

    def media(self, side: Side) -> Actions:
        """A leg can carry audio: for the first time, or again after a new description."""
        match self.phase, side:
            case Phase.ARRIVED, Side.CALLER:
                return self._begin_notice()
            case Phase.NOTICE, Side.CALLER if Side.CALLER not in self._held:
                return [Play(Sound.NOTICE)]  # from its beginning: the stream that had the first half is gone
            case Phase.DIALLING, Side.CALLEE if Side.CALLEE not in self._up:
                return [Hush(), Bridge(one_way=True)]
            case ((Phase.DIALLING | Phase.BRIDGED), _) if Side.CALLEE in self._up:
                return self._bridge()
            case ((Phase.DIALLING | Phase.TRANSFER), Side.CALLER):
                return [Play(Sound.RINGING)]
            case _:
                return []

    def answered(self, side: Side) -> Actions:
        """A leg is answered."""
        self._up.add(side)
        if side is Side.CALLEE and self.phase is Phase.DIALLING:
            late = [Answer(OK)] if self._manner.answer_late and Side.CALLER not in self._up else []
            return [Arm(None), *late]
        return []

    def notice_ended(self) -> Actions:
        """The last sample was played."""
        return self._after_notice(True) if self.phase is Phase.NOTICE else []

    def notice_failed(self) -> Actions:
        """It could not be played."""
        return self._after_notice(False) if self.phase is Phase.NOTICE else []

    def held(self, side: Side, on: bool) -> Actions:
        """The peer of a leg puts the call on hold, or takes it back; the other leg is told so."""
        if (side in self._held) is on:
            return []
        (self._held.add if on else self._held.discard)(side)
        if self.phase is Phase.NOTICE and on:
            return [Hush()]
        return [Hold(side.other, on)] if self.phase is Phase.BRIDGED else []

    def key(self, side: Side, key: str, way: Way) -> Actions:
        """A key was pressed; before there is somebody to tell, it is for nobody."""
        return [Relay(side.other, key, way)] if self.phase is Phase.BRIDGED else []

    def transferred(self, target: str) -> Actions:
        """The practice's phone hands the call to somebody else; the caller, who may be on hold, hears that one's phone ring."""
        if self.phase is not Phase.BRIDGED:
            return []
        self.phase, self._target = Phase.TRANSFER, target
        waiting: Actions = [Hold(Side.CALLER, False)] if Side.CALLEE in self._held else []
        self._held.discard(Side.CALLEE)
        return [*waiting, Play(Sound.RINGING), HangUp(Side.CALLEE, OK)]

    def _dial(self, target: str) -> Actions:
        """Another leg to the practice; of the one before nothing is left."""
        self.phase = Phase.DIALLING
        self._gone.discard(Side.CALLEE)
        self._up.discard(Side.CALLEE)
        return [Play(Sound.RINGING), Dial(target), Arm(self._manner.ring_seconds)]

    def timed_out(self) -> Actions:
        """The time asked for is over."""
        match self.phase:
            case Phase.NOTICE:
                return self._after_notice(False)
            case Phase.TRANSFER:
                return self._dial(self._target)
            case Phase.DIALLING if self._target:
                self._target = ""
                self.phase = Phase.TRANSFER
                return [HangUp(Side.CALLEE, UNAVAILABLE)]
            case Phase.DIALLING:
                self._why(Cause.NO_ANSWER)
                return [HangUp(Side.CALLEE, UNAVAILABLE), *self._sorry(UNAVAILABLE)]
            case Phase.SORRY:
                return self._end()
            case _:
                return []

    def dial_failed(self) -> Actions:
        """The practice's number could not even be called."""
        self._gone.add(Side.CALLEE)
        if self._target:
            return self._back()
        self._why(Cause.UNREACHABLE)
        return self._sorry(UNAVAILABLE)

    def left(self, side: Side, status: int) -> Actions:
        """A leg ended: by BYE, CANCEL or, with this status, a refusal."""
        self._gone.add(side)
        match self.phase, side:
            case Phase.OVER, _:
                return self._settled()
            case Phase.TRANSFER, Side.CALLEE:
                return [Arm(0.0)]  # its place is free in a moment
            case Phase.DIALLING, Side.CALLEE if Side.CALLEE not in self._up and self._target:
                return self._back()
            case Phase.DIALLING, Side.CALLEE if Side.CALLEE not in self._up:
                self._why(_refusal(status), status)
                return self._sorry(status)
            case Phase.SORRY, Side.CALLEE:
                return []
            case Phase.SORRY, _:
                return self._end()
            case _, Side.CALLER:
                self._why(Cause.CALLER_BYE if self._talked else Cause.CANCELLED)
                return self._end()
            case _:
                self._why(Cause.CALLEE_BYE)
                return self._end()

    def _back(self) -> Actions:
        """To whom the call was handed did not take it: it comes back to the practice's number."""
        self.phase, self._target = Phase.TRANSFER, ""
        return [Play(Sound.RINGING), Arm(0.0)]

    def end(self) -> Actions:
        """The gateway wants the call to end."""
        return self._end() if self.phase is not Phase.OVER else []

    def _begin_notice(self) -> Actions:
        if not self._manner.notice:
            return self._after_notice(False)
        self.phase = Phase.NOTICE
        return [Play(Sound.NOTICE), Arm(self._manner.notice_seconds)]

    def _after_notice(self, whole: bool) -> Actions:
        told: Actions = [TellNotice(whole)]
        if self._manner.notice_required and not whole:
            self._why(Cause.NO_NOTICE)
            return [*told, *self._end()]
        self.phase = Phase.DIALLING
        self._dialled = True
        return [*told, Play(Sound.RINGING), Dial(), Arm(self._manner.ring_seconds)]

    def _bridge(self) -> Actions:
        """Once more after each new description: the streams behind the legs are others then."""
        first = self.phase is not Phase.BRIDGED
        self._talked = True
        self.phase = Phase.BRIDGED
        if not first:
            return [Bridge()]
        waiting: Actions = [Hold(side.other, True) for side in Side if side in self._held]
        return [Hush(), Bridge(), TellBridged(), *waiting]

    def _sorry(self, status: int) -> Actions:
        """A caller who is answered hears the busy tone; another gets the response."""
        if Side.CALLER in self._gone:
            return self._end()
        if Side.CALLER not in self._up:
            self.phase = Phase.OVER
            return [Arm(None), Hush(), HangUp(Side.CALLER, status if status >= 400 else UNAVAILABLE)]
        self.phase = Phase.SORRY
        return [Play(Sound.BUSY), Arm(self._manner.busy_seconds)]

    def _end(self) -> Actions:
        self.phase = Phase.OVER
        legs = [Side.CALLER, Side.CALLEE] if self._dialled else [Side.CALLER]
        hangups: Actions = [HangUp(side, UNAVAILABLE) for side in legs if side not in self._gone]
        return [Arm(None), Hush(), *hangups, *self._settled()]

    def _settled(self) -> Actions:
        """When the last leg is gone it is told, once."""
        waiting = {Side.CALLER, Side.CALLEE} if self._dialled else {Side.CALLER}
        if self._told or not waiting <= self._gone:
            return []
        self._told = True
        return [TellOver(self._cause, self._status)]

    def _why(self, cause: Cause, status: int = 0) -> None:
        """The first cause counts."""
        if self._cause is Cause.FAILED:
            self._cause, self._status = cause, status


def _refusal(status: int) -> Cause:
    if status in (408, 480):
        return Cause.NO_ANSWER
    return Cause.REFUSED if status in (403, 486, 600, 603) else Cause.UNREACHABLE
