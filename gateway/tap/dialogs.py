"""Overheard SIP becomes calls (RFC 3261, RFC 3264, RFC 3891).

After every input act on its effects, in order, before the next input. What one message does wrong costs one Unheard.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from dataclasses import replace
from itertools import count

from gateway.sip.errors import BadMessage
from gateway.sip.message import Request
from gateway.sip.sdp import Supported
from gateway.siprec.wishes import Wishes, nobody_wishes
from gateway.tap import effects
from gateway.tap.effects import End, TapEffect, TappedId, TappedStream, Unheard
from gateway.tap.hearing import Heard, hear
from gateway.tap.invitation import Invitation
from gateway.tap.progress import SECOND, State
from gateway.tap.referrals import Joining, Place, Referrals
from gateway.tap.tapped_call import TappedCall

LINGER_NS = 64 * SECOND  # a call that is over still has its messages repeated: twice RFC 3261's 32 s
MAX_REMEMBERED = 4096  # calls that are over, and sessions that are not looked at
MAX_OF_CALL_ID = 4  # calls of one Call-ID: a telephone system that keeps it on both its sides makes two
MAX_DESCRIBED_OF_CALL = 256 << 10  # octets; a dozen branches and changes of the largest real descriptions
MAX_DESCRIBED = 256 << 20  # in all; twenty thousand calls keep a hundred million or so
MAX_CALLS = 20_000  # as many as are ever recorded at once
TIMER_NS = 600 * SECOND  # the farthest that is looked ahead, so that what is over is not kept for a day
REUSED_NS = 2 * SECOND  # a call must have been quiet before another one is taken to have its place
METHODS = frozenset({"INVITE", "ACK", "BYE", "CANCEL", "PRACK", "UPDATE", "INFO", "REFER", "NOTIFY"})


class Dialogs:
    """`max_calls` bounds those that are not over; of more, the first whose INVITE nobody has answered at all gives way."""

    def __init__(
        self, *, supported: Supported, wish: Wishes = nobody_wishes, max_calls: int = MAX_CALLS
    ) -> None:
        self._supported = supported
        self._wish = wish
        self._max_calls = max_calls
        self._ids = count(1)
        self._by_call_id: dict[str, list[Invitation]] = {}
        self._calls: dict[Invitation, TappedCall] = {}  # of those that are not over
        self._by_id: dict[TappedId, TappedCall] = {}
        self._joining: dict[Invitation, Joining] = {}
        self._referrals = Referrals()
        self._calling: OrderedDict[Invitation, None] = OrderedDict()  # nothing but an INVITE was heard
        self._over: OrderedDict[Invitation, int] = OrderedDict()  # until when they are remembered
        self._ignored: OrderedDict[str, None] = OrderedDict()  # Call-IDs of recording sessions
        self._places: dict[effects.Place, Invitation] = {}  # who listens there
        self._shared: OrderedDict[effects.Place, None] = OrderedDict()  # where several calls listen at once
        self._timers: list[tuple[int, int, Invitation]] = []
        self._described: dict[Invitation, int] = {}  # octets of descriptions that are kept of each
        self._kept = 0  # in all
        self._armed: dict[Invitation, int] = {}  # when each is looked at again
        self._order = count()

    def __len__(self) -> int:
        """How many calls are not over."""
        return len(self._calls)

    def keeps(self) -> int:
        """How many octets of descriptions are kept."""
        return self._kept

    def remembers(self) -> int:
        """How many calls are known in all, those included that are over and may be repeated."""
        return sum(len(alike) for alike in self._by_call_id.values())

    def heard(
        self,
        data: bytes,
        at_ns: int,
        number: int,
        source: effects.Place,
        destination: effects.Place,
        transport: str = "udp",
    ) -> list[TapEffect]:
        """One whole message: a UDP datagram, or what was framed out of a TCP connection; `number` of its frame."""
        out = self.expire(at_ns)
        if not data.strip(b"\r\n\0 "):
            return out  # what keeps a NAT open
        try:
            message = hear(data, at_ns, number, source, destination)
        except BadMessage:
            return [*out, Unheard("bad_sip", at_ns, number)]
        return out + self._message(message)

    def silent(self, call: TappedId, now_ns: int) -> list[TapEffect]:
        """No media of a call was heard for long: it is over, unless it is on hold or was never answered."""
        told = self._by_id.get(call)
        if told is None or not told.answered or told.held or told.invitation.course.ending:
            return []
        told.invitation.course.end(End.LOST, now_ns)
        return self._follow(told.invitation, now_ns)

    def expire(self, now_ns: int) -> list[TapEffect]:
        """What is over because nothing was heard of it."""
        out: list[TapEffect] = []
        while self._timers and self._timers[0][0] <= now_ns:
            at_ns, _, invitation = heapq.heappop(self._timers)
            if self._armed.get(invitation) != at_ns:
                continue
            del self._armed[invitation]
            self._spare(invitation)
            invitation.course.expire(now_ns)
            out += self._follow(invitation, now_ns)
        while self._over and next(iter(self._over.values())) <= now_ns:
            self._forget(self._over.popitem(last=False)[0])
        return out

    def close(self, now_ns: int) -> list[TapEffect]:
        """Nothing more is heard: every call that is not over is lost."""
        out = self.expire(now_ns)
        for invitation in list(self._calls):
            if invitation.course.ending is None:
                invitation.course.end(End.LOST, now_ns)
            else:
                invitation.course.expire(invitation.course.due_ns)
            out += self._follow(invitation, now_ns)
        return out

    def _message(self, heard: Heard) -> list[TapEffect]:
        out: list[TapEffect] = []
        if heard.cseq.method not in METHODS or heard.call_id in self._ignored:
            return out
        if heard.copy:
            return self._copied(heard)
        if heard.fault:
            out.append(Unheard(heard.fault, heard.at_ns, heard.number))
        invitation = self._find(heard)
        if invitation is None:
            if not _begins(heard):
                return out
            out += self._room(heard)
            if self._full(heard.call_id):
                return [*out, Unheard("too_many_calls", heard.at_ns, heard.number)]
            invitation = self._begin(heard)
        self._heard_again(invitation)
        invitation.hear(self._bounded(invitation, heard, out))
        self._weigh(invitation)
        if heard.cseq.method == "REFER" and isinstance(heard.message, Request):
            self._referrals.refer(invitation, heard)
        out += [Unheard(kind, heard.at_ns, heard.number) for kind in invitation.faults]
        invitation.faults.clear()
        return out + self._follow(invitation, heard.at_ns)

    def _bounded(self, invitation: Invitation, heard: Heard, out: list[TapEffect]) -> Heard:
        """A message without its description, where too much is kept of those already."""
        size = heard.description.size if heard.description else 0
        of_call = self._described.get(invitation, 0) + size
        if not size or (of_call <= MAX_DESCRIBED_OF_CALL and self._kept + size <= MAX_DESCRIBED):
            return heard
        out.append(Unheard("too_much_sdp", heard.at_ns, heard.number))
        return replace(heard, description=None)

    def _weigh(self, invitation: Invitation) -> None:
        """Keep count of the octets of descriptions."""
        kept = invitation.described()
        self._kept += kept - self._described.pop(invitation, 0)
        if kept:
            self._described[invitation] = kept

    def _copied(self, heard: Heard) -> list[TapEffect]:
        """A recording session carries what is heard elsewhere, or is recorded by its own server."""
        self._ignored[heard.call_id] = None
        if len(self._ignored) > MAX_REMEMBERED:
            self._ignored.popitem(last=False)
        out: list[TapEffect] = [Unheard("siprec", heard.at_ns, heard.number)]
        for invitation in self._by_call_id.get(heard.call_id, ()):
            if not invitation.course.over:
                invitation.course.end(End.LOST, heard.at_ns)
                out += self._follow(invitation, heard.at_ns)
        return out

    def _find(self, heard: Heard) -> Invitation | None:
        """The call that a message is of; one that is over too, so that what is repeated begins no other."""
        alike = self._by_call_id.get(heard.call_id, [])
        found = [each for each in alike if each.concerns(heard)]
        running = [each for each in found if not each.course.over]
        if running:
            return running[-1]
        if _is_initial(heard):
            for each in alike:
                if each.retries(heard):
                    each.caller_tag = heard.from_tag
                    return each
        return next((each for each in reversed(found) if not each.begins_anew(heard)), None)

    def _begin(self, heard: Heard) -> Invitation:
        invitation = Invitation(heard, self._wish)
        alike = self._by_call_id.setdefault(heard.call_id, [])
        alike.append(invitation)
        self._calls[invitation] = TappedCall(TappedId(next(self._ids)), invitation)
        if _is_initial(heard):
            self._calling[invitation] = None
            self._join(invitation, heard)
        return invitation

    def _room(self, heard: Heard) -> list[TapEffect]:
        """Room for one more call: a flood of INVITEs takes the place of its own kind, never of calls that ring or run."""
        out: list[TapEffect] = []
        alike = self._by_call_id.get(heard.call_id, [])
        idle = [each for each in alike if each.course.state in (State.CALLING, State.ENDED)]
        if len(alike) >= MAX_OF_CALL_ID and idle:
            if not idle[0].course.over:
                idle[0].course.end(End.LOST, heard.at_ns)
                out += self._follow(idle[0], heard.at_ns)
            self._over.pop(idle[0], None)
            self._forget(idle[0])
        if len(self._calls) >= self._max_calls and self._calling:
            first = next(iter(self._calling))
            first.course.end(End.LOST, heard.at_ns)
            out += self._follow(first, heard.at_ns)
        return out

    def _full(self, call_id: str) -> bool:
        return (
            len(self._calls) >= self._max_calls
            or len(self._by_call_id) >= self._max_calls + MAX_REMEMBERED
            or len(self._by_call_id.get(call_id, ())) >= MAX_OF_CALL_ID
        )

    def _arm(self, invitation: Invitation, now_ns: int) -> None:
        at_ns = min(invitation.course.due_ns, now_ns + TIMER_NS)
        if at_ns >= self._armed.get(invitation, at_ns + 1):
            return
        self._armed[invitation] = at_ns
        heapq.heappush(self._timers, (at_ns, next(self._order), invitation))
        if len(self._timers) > 4 * len(self._armed) + MAX_REMEMBERED:
            self._timers = [(at, next(self._order), each) for each, at in self._armed.items()]
            heapq.heapify(self._timers)

    def _follow(self, invitation: Invitation, at_ns: int) -> list[TapEffect]:
        """Tell what has become of a call."""
        out: list[TapEffect] = []
        if invitation.course.state is not State.CALLING:
            self._calling.pop(invitation, None)
        if invitation.course.answered and invitation in self._joining:
            out += self._take_over(invitation, self._joining.pop(invitation), at_ns)
        call = self._calls.get(invitation)
        # What asks for another one's place is nothing of its own until it is known whether it gets it.
        if call and (invitation not in self._joining or invitation.course.over):
            before = call.streams
            out += call.follow(self._supported, at_ns)
            if call.streams != before:
                self._listen(call, before, at_ns)
            if call.seen:
                self._by_id[call.id] = call
        if invitation.course.over:
            joining = self._joining.pop(invitation, None)
            self._settle(invitation, at_ns)
            out += self._stand_down(joining, at_ns) if joining else []
        else:
            self._arm(invitation, at_ns)
        return out

    def _listen(self, call: TappedCall, before: tuple[TappedStream, ...], at_ns: int) -> None:
        """Remember where a call is heard. A call whose place a newer one has from its start is over, unless it is
        heard of again, or others are that have one place: a telephone system that lets two calls speak directly gives
        them one, and so do some that make calls by the hundred.
        """
        invitation = call.invitation
        for place in {stream.to for stream in before if stream.to} - call.places:
            if self._places.get(place) is invitation:
                del self._places[place]
        for place in call.places:
            owner = self._places.get(place)
            old = self._calls.get(owner) if owner and owner is not invitation else None
            quiet = owner is not None and owner.course.heard_ns + REUSED_NS < invitation.course.begun_ns
            taken = old and quiet and not old.held and call.agreements == 1 and place not in self._shared
            if taken and owner and owner.course.answered:
                owner.course.taken_ns = at_ns
                self._arm(owner, at_ns)
            self._places[place] = invitation

    def _heard_again(self, invitation: Invitation) -> None:
        """A call was thought to be over because its place was taken, and is not."""
        call = self._calls.get(invitation)
        if call is None or invitation.course.taken_ns is None:
            return
        for place in call.places:
            self._shared[place] = None
            if len(self._shared) > MAX_REMEMBERED:
                self._shared.popitem(last=False)

    def _spare(self, invitation: Invitation) -> None:
        call = self._calls.get(invitation)
        if call and any(place in self._shared for place in call.places):
            invitation.course.taken_ns = None

    def _unlisten(self, call: TappedCall) -> None:
        for place in call.places:
            if self._places.get(place) is call.invitation:
                del self._places[place]

    def _join(self, invitation: Invitation, heard: Heard) -> None:
        """What asks for another call's place waits for its answer, then that call goes on in it."""
        joining = self._referrals.joining(heard, lambda call_id: self._by_call_id.get(call_id, ()))
        if joining and any(old in self._calls and old is not invitation for old in joining.old):
            self._joining[invitation] = joining
            for old in joining.old:
                old.course.followed = True

    def _take_over(self, invitation: Invitation, joining: Joining, at_ns: int) -> list[TapEffect]:
        """The first call that still goes on, goes on here; the dialog that was named is over with it."""
        out: list[TapEffect] = []
        taken = False
        for place in joining.places:
            call = self._calls.get(place.old)
            if call is None or not call.seen:
                continue
            if taken:
                out += self._replace(place.old, at_ns)
            else:
                self._hand(place, invitation)
            taken = True
        return out

    def _stand_down(self, joining: Joining, at_ns: int) -> list[TapEffect]:
        """What asked for another call's place was not answered: that call stays, or is over if it was hung up."""
        out: list[TapEffect] = []
        for old in joining.old:
            old.course.unfollow()
            out += self._follow(old, at_ns)
        return out

    def _replace(self, invitation: Invitation, at_ns: int) -> list[TapEffect]:
        call = self._calls.pop(invitation, None)
        if call is None:
            return []
        self._unlisten(call)
        self._by_id.pop(call.id, None)
        return call.replaced(at_ns)

    def _hand(self, place: Place, new: Invitation) -> None:
        call = self._calls.pop(place.old)
        self._unlisten(call)
        call.goes_on(new, place.stays, place.as_)
        self._calls[new] = call

    def _settle(self, invitation: Invitation, at_ns: int) -> None:
        """It is over; it is remembered for a while."""
        call = self._calls.pop(invitation, None)
        if call is not None:
            self._by_id.pop(call.id, None)
            self._unlisten(call)
        self._armed.pop(invitation, None)
        invitation.release()
        self._weigh(invitation)
        if invitation not in self._over:
            self._over[invitation] = at_ns + LINGER_NS
            if len(self._over) > MAX_REMEMBERED:
                self._forget(self._over.popitem(last=False)[0])

    def _forget(self, invitation: Invitation) -> None:
        alike = self._by_call_id.get(invitation.call_id, [])
        if invitation in alike:
            alike.remove(invitation)
        if not alike:
            self._by_call_id.pop(invitation.call_id, None)


def _is_initial(heard: Heard) -> bool:
    return isinstance(heard.message, Request) and heard.cseq.method == "INVITE" and not heard.to_tag


def _begins(heard: Heard) -> bool:
    """Whether a message of a call that is not known shows that there is one."""
    method, message = heard.cseq.method, heard.message
    if isinstance(message, Request):
        described = heard.description is not None and bool(heard.to_tag)
        return (
            method == "INVITE"
            or (method == "BYE" and bool(heard.to_tag))
            or (method in ("ACK", "UPDATE") and described)
        )
    if not heard.to_tag or not 100 < message.status < 300:
        return False
    agreed = message.status >= 200 and heard.description is not None
    return (
        method == "INVITE" or (method == "UPDATE" and agreed) or (method == "BYE" and message.status >= 200)
    )
