"""What people, rules and the client ask of one call's recording, and what they are answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gateway.recording.messages import (
    Answered,
    Event,
    Extend,
    LateRedaction,
    Mark,
    Open,
    OpenRedaction,
    Outcome,
    Pause,
    RecordingNow,
    Resume,
    StartRecording,
    Status,
    StopRecording,
)
from gateway.recording.model import UNIT_NS, Cause, Marker, Redaction, Role
from gateway.recording.pauses import Key, Pauses
from gateway.redaction.card import CardWatch
from gateway.redaction.codes import CodeAction, CodeWatch
from gateway.redaction.presses import FORGET_NS, Heard, Presses
from gateway.redaction.rules import Rules
from gateway.redaction.timeline import Span, Timeline

# A key this long ago may be followed by another: until then nothing is resumed.
KEYING_NS = 2_000_000_000
MAX_MARKERS = 256  # kept of a call: nobody notes more, and a script that does fills no record
PEOPLE = (Cause.AGENT, Cause.FEATURE_CODE)  # whose pauses are an agent's

Asked = Pause | Resume | StopRecording | StartRecording | Extend | Mark
Verdict = tuple[Outcome, str]
APPLIED: Verdict = (Outcome.APPLIED, "")


class Redacting:
    """One call's pauses and markers. `reached`: up to where (call units) each leg is committed."""

    def __init__(self, plan: Open, rules: Rules, now: int) -> None:
        self.roles = [leg.role for leg in plan.legs]
        self.pauses = Pauses(plan.started_ns, plan.redactions, plan.ended)
        self.markers: list[Marker] = []
        self._call_id = plan.call_id
        self._started_ns = plan.started_ns
        self._rules = rules
        self._presses, self._codes = Presses(), CodeWatch(rules.codes)
        self._card = CardWatch(rules.card)
        self._keyed_ns: dict[Role | None, int] = {}  # when a key last came, lately, by whose it was
        self._late: list[LateRedaction] = []
        self._told: Status | None = None
        self._state = self.pauses.state(self.roles)
        for each in plan.redactions:
            if each.cause is Cause.CARD:
                self._card.reopen(each.since_ns, now)
                self.pauses.put_off(now + rules.card.quiet_ns, Cause.CARD)
        self._since_ns = self.pauses.since_ns(self._state, plan.started_ns)

    def obey(self, asked: Asked, now: int, reached: Mapping[Role, int]) -> list[Event]:
        """Do what is asked; gives what is true now, what is to be cut from what is stored, and the answer."""
        outcome, why = self._apply(asked, now, reached)
        late, self._late = self._late, []
        if late and outcome is Outcome.APPLIED:
            outcome, why = Outcome.LATE, _late(late)
        answer = [Answered(self._call_id, asked.request, outcome, why)] if asked.request else []
        return [*self.status(asked.at_ns, now), *late, *answer]

    @property
    def idle(self) -> bool:
        """Whether nothing of the call changes by itself."""
        return not (self._keyed_ns or self.pauses.open)

    @property
    def timed(self) -> bool:
        """Whether something changes by itself after some time."""
        return bool(self._keyed_ns) or any(each.ends_ns is not None for each in self.pauses.open)

    def advance(self, now: int, reached: Mapping[Role, int]) -> list[Event]:
        """End what ends by itself, and never while keys are pressed; forget keys that nothing more comes of."""
        self._presses.forget(now)
        events = self._coded(self._codes.due(now), now, now, reached)
        last_ns = max(self._keyed_ns.values(), default=now - KEYING_NS)
        if now - last_ns >= KEYING_NS:
            for each in self.pauses.open:
                if each.ends_ns is not None and each.ends_ns <= now:
                    self._end((each.cause, each.legs), now, self._end_of(each))
        if now - last_ns > FORGET_NS:
            self._keyed_ns.clear()
        return [*events, *self.status(now, now)]

    def pressed(self, heard: Heard, now: int, reached: Mapping[Role, int]) -> list[Event]:
        """Act on a key that is not counted yet: it may be one of a card's, or of an agent's code."""
        press = self._presses.heard(heard)
        if press is None:
            return []
        self._keyed_ns[press.role] = max(now, self._keyed_ns.get(press.role, now))
        if not self.pauses.has(Cause.OPT_OUT):
            self._watch(press, now, reached)
        action = self._codes.key(press.digit, press.start_ns) if press.role is Role.AGENT else None
        return [*self._coded(action, press.start_ns, now, reached), *self.status(now, now)]

    def status(self, at_ns: int, now: int) -> list[Event]:
        """What is true since `at_ns`, if it is not what was last told."""
        state = self.pauses.state(self.roles)
        if state is not self._state:
            self._state, self._since_ns = state, at_ns
        resumes = self.pauses.resumes_ns(self.roles) if state is RecordingNow.PAUSED else None
        warning = resumes is not None and resumes - now <= self._rules.pause.warn_ns
        status = Status(self._call_id, state, self._since_ns, self.pauses.open, resumes, warning)
        if status == self._told:
            return []
        self._told = status
        return [status]

    def redactions(self, until: int, ended: bool = False) -> list[Redaction]:
        """Of pauses and stops, none beyond `until`; once the call has ended, so have they."""
        return self.pauses.redactions(self.roles, until, ended)

    def _apply(self, asked: Asked, now: int, reached: Mapping[Role, int]) -> Verdict:
        match asked:
            case Pause():
                return self._pause(asked, reached)
            case StopRecording():
                return self._stop(asked, reached)
            case Resume():
                return self._resume(asked, now)
            case StartRecording(at_ns=at_ns):
                applied = self.pauses.end((Cause.NEVER_RECORD, ()), at_ns, Cause.NEVER_RECORD)
                return APPLIED if applied else (Outcome.UNCHANGED, "the call is recorded")
            case Extend(at_ns=at_ns):
                later = self.pauses.put_off(at_ns + self._rules.pause.extend_ns, *PEOPLE, Cause.CARD)
                return APPLIED if later else (Outcome.UNCHANGED, "no pause ends by itself sooner")
            case Mark():
                return self._mark(asked)

    def _pause(self, asked: Pause, reached: Mapping[Role, int]) -> Verdict:
        if self.pauses.has(Cause.OPT_OUT):
            return Outcome.UNCHANGED, "the call is not recorded any more"
        at_ns = asked.at_ns
        ceiling_ns = self._rules.pause.ceiling_ns if asked.cause in PEOPLE else 0
        whose: list[tuple[Role, ...]] = [(role,) for role in asked.legs] or [()]
        begun = [
            self._begin(
                OpenRedaction(
                    cause=asked.cause,
                    legs=legs,
                    since_ns=at_ns,
                    actor=asked.actor,
                    reason=asked.reason,
                    ends_ns=at_ns + ceiling_ns if ceiling_ns else None,
                    start=self._start(at_ns, asked.reach_back),
                ),
                reached,
            )
            for legs in whose
        ]
        if ceiling_ns:  # whoever pauses a call that is paused counts on all of the time from then on
            self.pauses.put_off(at_ns + ceiling_ns, asked.cause)
        return APPLIED if any(begun) else (Outcome.UNCHANGED, "the call is paused")

    def _stop(self, asked: StopRecording, reached: Mapping[Role, int]) -> Verdict:
        at_ns = asked.at_ns
        start = 0 if asked.discard else self._start(at_ns, asked.reach_back)
        stop = OpenRedaction(
            asked.cause, (), at_ns, asked.actor, asked.reason, start=start, discard=asked.discard
        )
        if not self._begin(stop, {} if asked.discard else reached):
            return Outcome.UNCHANGED, "the call is not recorded any more"
        return APPLIED

    def _resume(self, asked: Resume, now: int) -> Verdict:
        keys = self._ended_by(asked)
        at_ns = asked.at_ns
        if asked.cause in PEOPLE:
            if not keys:
                return self._nothing_to_resume()
            # Who keys a resume is not kept from it by the keys of it.
            by_phone = asked.cause is Cause.FEATURE_CODE
            keyed = [at for role, at in self._keyed_ns.items() if not (by_phone and role is Role.AGENT)]
            if keyed and now - max(keyed) < KEYING_NS:
                return Outcome.REFUSED, "keys are still being pressed"
            at_ns = max([at_ns, *keyed])
        ended = [self._end(key, at_ns, asked.cause, asked.actor) for key in keys]
        return APPLIED if any(ended) else (Outcome.UNCHANGED, "the call is not paused")

    def _ended_by(self, asked: Resume) -> list[Key]:
        """The open pauses that a resume ends."""
        causes = [asked.cause]
        if asked.cause in PEOPLE:
            causes = [*PEOPLE, *([Cause.CARD] if self._rules.card.agent_may_resume else [])]
        mine = [(each.cause, each.legs) for each in self.pauses.open if each.cause in causes]
        return [(cause, legs) for cause, legs in mine if not asked.legs or (legs and legs[0] in asked.legs)]

    def _nothing_to_resume(self) -> Verdict:
        match self.pauses.state(self.roles):
            case RecordingNow.OFF:
                return Outcome.REFUSED, "the call is not to be recorded any more"
            case RecordingNow.PAUSED if self.pauses.has(Cause.CARD):
                return Outcome.REFUSED, "the card rule's pause ends only by itself"
            case RecordingNow.PAUSED:
                return Outcome.REFUSED, "the recording client has paused the call, and only it resumes it"
        return Outcome.UNCHANGED, "the call is not paused"

    def _mark(self, asked: Mark) -> Verdict:
        marker = Marker(self._units(asked.at_ns), asked.kind, asked.actor)
        if marker in self.markers:
            return Outcome.UNCHANGED, "it was noted already"
        if len(self.markers) >= MAX_MARKERS:
            return Outcome.REFUSED, f"the call has {MAX_MARKERS} markers, and takes no more"
        self.markers.append(marker)
        return APPLIED

    def _begin(self, redaction: OpenRedaction, reached: Mapping[Role, int]) -> bool:
        """Open one, and find what of it was committed before."""
        before = {role: self.pauses.cut(role) for role in self.roles}
        changed = self.pauses.begin(redaction)
        stored: dict[Span, list[Role]] = {}
        for role in redaction.legs or self.roles:
            stop = reached.get(role, 0)
            if redaction.start < stop:
                covered = Timeline((Span(redaction.start, stop),)) - before.get(role, Timeline())
                for span in covered.spans:
                    stored.setdefault(span, []).append(role)
        self._late += [
            LateRedaction(self._call_id, span.start, span.stop, tuple(roles), redaction.cause)
            for span, roles in stored.items()
        ]
        return changed

    def _watch(self, press: Heard, now: int, reached: Mapping[Role, int]) -> None:
        """Pause when keys look like a card's, from the first of them on, as far as audio waits yet."""
        began_ns = self._card.key(press.digit, press.start_ns)
        if began_ns is not None:
            start = max(self._units(began_ns - self._rules.guard_ns), *reached.values())
            self.pauses.begin(OpenRedaction(Cause.CARD, (), now, ends_ns=now, start=start))
        if ends := self._card.ends():
            self.pauses.put_off(ends[0], Cause.CARD)

    def _end(self, key: Key, at_ns: int, cause: Cause, actor: str | None = None) -> bool:
        if key[0] is Cause.CARD:
            self._card.close()
        return self.pauses.end(key, at_ns, cause, actor)

    def _coded(
        self, action: CodeAction | None, at_ns: int, now: int, reached: Mapping[Role, int]
    ) -> list[Event]:
        """Do what an agent asked for by keys."""
        call, cause = self._call_id, Cause.FEATURE_CODE
        match action:
            case CodeAction.PAUSE:
                return self.obey(Pause(call, (), at_ns, cause, reach_back=True), now, reached)
            case CodeAction.RESUME:
                return self.obey(Resume(call, (), at_ns, cause), now, reached)
            case CodeAction.OPT_OUT:
                discard = self._rules.discard
                stop = StopRecording(call, at_ns, Cause.OPT_OUT, discard=discard, reach_back=True)
                return self.obey(stop, now, reached)
        return []

    def _end_of(self, redaction: OpenRedaction) -> Cause:
        """Why a pause ends by itself."""
        ends = self._card.ends() if redaction.cause is Cause.CARD else None
        return ends[1] if ends else Cause.CEILING

    def _start(self, at_ns: int, reach_back: bool) -> int:
        return self._units(at_ns - (self._rules.look_back_ns if reach_back else 0))

    def _units(self, at_ns: int) -> int:
        return max(0, (at_ns - self._started_ns) // UNIT_NS)


def _late(found: Sequence[LateRedaction]) -> str:
    seconds = max(each.end for each in found) - min(each.start for each in found)
    return (
        f"{seconds * UNIT_NS / 1e9:.1f} s that it covers were stored before, and are cut out of the recording"
    )
