"""Calls that a tap overhears: they begin, change and end as their signalling tells, by the means of recording sessions."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace

from gateway.io import clock
from gateway.io.lines import Lines
from gateway.io.metrics import Metrics
from gateway.io.running_call import Ending, Live
from gateway.io.segments import Segments
from gateway.io.taking_up import TakingUp, TappedCall, utc
from gateway.io.tap_messages import AudioAlone, Passed, TapMessage, TapReport, Unfollowed
from gateway.io.unrecorded import Watch
from gateway.recording.assurance import Why
from gateway.recording.messages import Command, Mark, Press
from gateway.recording.model import Role
from gateway.siprec.effects import Changed, SessionId
from gateway.tap.announced import Announced
from gateway.tap.calling import (
    AUDIO_ALONE,
    AUDIO_OF_TLS,
    AUDIO_ONE_WAY,
    KEYLESS,
    NO_MEDIA,
    SIDES,
    STOPPED,
    Reason,
    ending,
    listed,
    no_codec,
    participant,
    streams_of,
    why_silent,
)
from gateway.tap.dialogs import Dialogs
from gateway.tap.effects import (
    Answered,
    KeyPressed,
    MediaAgreed,
    Noted,
    Over,
    PartiesChanged,
    Seen,
    Side,
    TapEffect,
    TappedId,
    Unheard,
    Wished,
)

log = logging.getLogger(__name__)

EXPIRE_SECONDS = 1.0  # between two looks for calls of which nothing is heard any more


class Tapped:
    """`names` are those of the taps, `dialogs` makes what follows the signalling of one; `tell` reaches a call's media
    worker, `hang_up` ends a call."""

    def __init__(
        self,
        names: Sequence[str],
        dialogs: Callable[[], Dialogs],
        taking_up: TakingUp,
        metrics: Metrics,
        lines: Lines,
        segments: Segments,
        watch: Watch,
        tell: Callable[[Command, Sequence[int]], None],
        hang_up: Callable[[Live, Ending], None],
        endpoints: frozenset[int],
        spawn: Callable[[Coroutine[object, object, None]], None],
    ) -> None:
        self._names = names
        self._dialogs = [dialogs() for _ in names]
        self._taking_up = taking_up
        self._metrics, self._signalled = metrics.tap, metrics.signalled
        self._lines = lines
        self._segments = segments
        self._watch = watch
        self._tell = tell
        self._hang_up = hang_up
        self._endpoints = (
            endpoints  # numbers of taps that hear the audio of an endpoint, which itself tells its calls
        )
        self.end_silent: Callable[[int, TappedId], None] = lambda tap, call: (
            None
        )  # ends a call of an endpoint
        self._spawn = spawn
        self._calls: dict[tuple[int, TappedId], TappedCall] = {}
        self._recorded: dict[str, TappedCall] = {}  # by the call's id
        self._announced = [Announced() for _ in names]
        self._sessions = 0
        self._secret_sip: set[int] = set()  # taps on which SIP over TLS was seen

    def hear(self, message: TapMessage) -> None:
        """Act on what a media worker says of a tap."""
        if message.tap in self._endpoints and not isinstance(message, TapReport):
            return
        match message:
            case Passed():
                self._heard(message)
            case Unfollowed(tap, kind):
                self._unfollowed(tap, kind)
            case AudioAlone():
                self._alone(message)
            case TapReport():
                self._metrics.report(self._names[message.tap], message)

    def _alone(self, heard: AudioAlone) -> None:
        """Audio that no call was recorded from: it is that of a call that is told of for itself, or of one not seen."""
        places = (heard.one, heard.one_port), (heard.other, heard.other_port)
        if self._announced[heard.tap].known(places, heard.began_ns):
            return
        self._signalled.inc()
        alone = AUDIO_ALONE if heard.both_ways else AUDIO_ONE_WAY
        why = AUDIO_OF_TLS if heard.both_ways and heard.tap in self._secret_sip else alone
        self._spawn(self._taking_up.explain_audio(heard.began_ns, heard.ended_ns, why))

    def silent(self, live: Live) -> None:
        """No packet of a call has come for the media timeout: where it is not on hold, its end was missed."""
        call = self._recorded.get(live.call.id)
        if call and call.tap in self._endpoints:
            self.end_silent(call.tap, call.seen.call)
        elif call and any(
            leg.packets for leg in live.call.leg_reports()
        ):  # else it goes where nobody listens
            self._act(call.tap, self._dialogs[call.tap].silent(call.seen.call, clock.monotonic_ns()))

    def tell(self, tap: int, effects: Sequence[TapEffect]) -> None:
        """What an endpoint says of its calls."""
        self._act(tap, effects)

    def setting_up(self) -> int:
        """How many calls are not yet among those that run."""
        return self._taking_up.count

    async def expire_forever(self) -> None:
        """Look now and then for calls of which nothing is heard any more."""
        while True:
            await asyncio.sleep(EXPIRE_SECONDS)
            self.expire()

    def expire(self) -> None:
        """Calls of which nothing has been heard for too long are over."""
        for tap, dialogs in enumerate(self._dialogs):
            self._act(tap, dialogs.expire(clock.monotonic_ns()))

    def following(self) -> int:
        """How many calls are not over, those included that are not recorded."""
        return len(self._calls)

    def stop(self, why: Reason = STOPPED) -> None:
        """Nothing more is heard: every call ends now."""
        now = clock.monotonic_ns()
        for call in list(self._calls.values()):
            if call.live:
                self._hang_up(call.live, Ending(why.text, utc(now), now))
            elif not call.setting_up:
                self._spawn(self._taking_up.explain(call, call.why or why, now))
        self._calls.clear()

    def _heard(self, passed: Passed) -> None:
        source, to = (passed.source, passed.source_port), (passed.destination, passed.destination_port)
        data = passed.data.encode("latin-1")
        dialogs = self._dialogs[passed.tap]
        self._act(passed.tap, dialogs.heard(data, passed.at_ns, passed.number, source, to, passed.transport))

    def _unfollowed(self, tap: int, kind: str) -> None:
        """Something of telephony went by that cannot be followed."""
        self._metrics.unfollowed.labels(self._names[tap], kind).inc()
        if kind == "sip_tls" and tap not in self._secret_sip:
            self._secret_sip.add(tap)
            log.warning("tap %s: SIP over TLS was seen: the calls in it cannot be recorded", self._names[tap])

    def _act(self, tap: int, effects: Sequence[TapEffect]) -> None:
        for effect in effects:
            match effect:
                case Unheard(kind):
                    self._unfollowed(tap, kind)
                case Seen():
                    self._see(tap, effect)
                case _:
                    if call := self._calls.get((tap, effect.call)):
                        call.waiting.append(effect)
                        self._go_on(call)

    def _see(self, tap: int, seen: Seen) -> None:
        self._sessions += 1
        parties = zip(SIDES, (seen.caller, seen.callee), strict=True)
        people = {side: participant(party, side) for side, party in parties}
        session = SessionId(-self._sessions)
        self._calls[tap, seen.call] = TappedCall(tap, seen, session, people, wish=seen.wish)
        self._metrics.calls.labels(self._names[tap]).inc()
        self._signalled.inc()

    def _go_on(self, call: TappedCall) -> None:
        """Act on what was told of a call, in order; while it is being set up, later."""
        while call.waiting and not call.setting_up:
            self._take(call, call.waiting.popleft())

    def _take(self, call: TappedCall, effect: TapEffect) -> None:
        match effect:
            case MediaAgreed():
                self._agreed(call, effect)
            case PartiesChanged():
                self._know(call, effect)
            case Wished(_, at_ns, wish):
                call.wish = wish
                if call.live:
                    self._changed(call.live, Changed(call.session, None, None, (), False, wish), at_ns)
            case KeyPressed(_, at_ns, side, digit, lasts_ms):
                if call.live:
                    role = _role(call.live, call, side)
                    self._tell(Press(call.live.call.id, role, digit, at_ns, lasts_ms * 1_000_000), ())
            case Noted(_, at_ns, kind):
                if call.live:
                    self._tell(Mark(call.live.call.id, at_ns, kind), ())
            case Over():
                self._end(call, effect)
            case Answered() | Seen() | Unheard():
                pass

    def _agreed(self, call: TappedCall, agreed: MediaAgreed) -> None:
        """At first the call is set up; later its lines are fitted to what is agreed."""
        self._announced[call.tap].told(agreed.call, agreed.streams, agreed.places)
        if call.live is None:
            call.why = call.why if call.refused else why_silent(agreed.streams, agreed.other)
            if call.why is None:
                call.setting_up = True
                self._spawn(self._set_up(call, agreed))
            return
        streams = streams_of(call.tap, agreed.streams)
        self._lines.fit(call.live, call.live.branches[call.session], streams, agreed.at_ns)
        _tell_lacking(call.live, agreed)
        self._changed(call.live, Changed(call.session, streams, None, (), False), agreed.at_ns)

    async def _set_up(self, call: TappedCall, agreed: MediaAgreed) -> None:
        try:
            call.live = await self._taking_up.begin(call, agreed)
            if call.live:
                self._recorded[call.live.call.id] = call
                _tell_lacking(call.live, agreed)
        finally:
            call.setting_up = False
            self._go_on(call)

    def _changed(self, live: Live, changed: Changed, at_ns: int, transfer: bool = False) -> None:
        self._watch.heard(live, changed)
        self._watch.look(live, at_ns, transfer)
        self._spawn(self._segments.turn(live, at_ns) if transfer else self._segments.save(live))

    def _know(self, call: TappedCall, told: PartiesChanged) -> None:
        """Other people take part, or they are better known."""
        for side, party in zip(SIDES, (told.caller, told.callee), strict=True):
            before = call.people[side]
            if told.transfer and party.user != before.user:
                call.followers += 1
                call.people[side] = participant(party, side, call.followers)
            else:
                call.people[side] = replace(participant(party, side), id=before.id)
        if (live := call.live) is None:
            return
        branch, swapped = live.branches[call.session], live.call.swapped
        transfer = live.know(self._taking_up.assign(call, live.labels(branch)), branch)
        if live.call.swapped is not swapped:
            self._lines.tell(live)
        self._changed(live, Changed(call.session, None, None, (), False), told.at_ns, transfer)

    def _end(self, call: TappedCall, over: Over) -> None:
        self._calls.pop((call.tap, over.call), None)
        self._announced[call.tap].over(over.call, over.at_ns)
        why = ending(over)
        if call.live:
            self._recorded.pop(call.live.call.id, None)
            self._hang_up(call.live, Ending(why, utc(over.at_ns), over.at_ns))
        else:
            unanswered = Reason(why, Why.UNANSWERED)
            reason = (call.why or NO_MEDIA) if over.answered or call.refused else unanswered
            self._spawn(self._taking_up.explain(call, reason, over.at_ns))


def _tell_lacking(live: Live, agreed: MediaAgreed) -> None:
    """One side alone, or for a while, may be secret or have a codec that is not known: the rest is recorded."""
    if any(each.secret for each in agreed.streams):
        live.call.problem(KEYLESS.text, KEYLESS.why)
    if unknown := [each for each in agreed.streams if each.unknown and not each.formats and not each.paused]:
        why = no_codec(unknown)
        live.call.problem(why.text, why.why)
    if agreed.other:
        live.call.note((f"besides audio there was {listed(agreed.other)}, which is not recorded",))


def _role(live: Live, call: TappedCall, side: Side) -> Role | None:
    """The role of the leg that a side's voice is on."""
    lines = live.branches[call.session].lines
    return next((live.role(line.leg) for line in lines if line.label == side.value), None)
