"""The lines of recording sessions and the legs they carry: added, dropped, paused, of other codecs."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence

from gateway.io.ports import MediaPorts, NoPortFree
from gateway.io.room import Refusal
from gateway.io.running_call import MAX_LEGS, Branch, Line, Live, leg_plan
from gateway.recording.assurance import Why
from gateway.recording.call import Phase
from gateway.recording.messages import Command, Join, LegPlan, Pause, Reformat, Resume
from gateway.siprec.effects import Stream


class Lines:
    """Fits calls to what their clients offer; `tell` reaches the media worker."""

    def __init__(self, ports: MediaPorts, tell: Callable[[Command, Sequence[int]], None]) -> None:
        self._ports = ports
        self._tell = tell

    def claim(self, address: str) -> socket.socket:
        """A socket for a leg. Raises Refusal."""
        try:
            return self._ports.claim(address)
        except NoPortFree as error:
            raise Refusal(503, "no_port", "every media port was in use") from error

    def fit(self, live: Live, branch: Branch, streams: Sequence[Stream], now: int) -> None:
        """Fit a session's lines to its streams: dropped, added, paused, of other codecs. Ports stay with their legs."""
        offers = {stream.index: stream for stream in streams if stream.acceptable}
        for line in branch.lines:
            if line.index not in offers:
                line.index = None
        carried = {line.index for line in branch.lines}
        for stream in (stream for index, stream in offers.items() if index not in carried):
            self._add_line(live, branch, stream)
        plans = list(live.call.legs)
        for line in branch.lines:
            if line.index is not None:
                stream = offers[line.index]
                line.label, line.paused = stream.label, stream.paused
                plans[line.leg] = leg_plan(stream, plans[line.leg].role)
                self._pause(live, line, now)
                if stream.recordpref in ("off", "pause"):
                    live.call.note((f"the client asked by recordpref for {stream.recordpref}",))
            else:  # what comes yet on a line that is closed is not meant to be recorded
                self._pause(live, line, now)
        carried = {line.index for line in branch.lines}
        if not offers.keys() <= carried:  # refused in the answer
            live.call.problem(
                f"audio past the first {len(branch.lines)} streams was offered and not recorded",
                Why.STREAMS,
            )
        self.tell_format(live, tuple(plans))

    def tell_format(self, live: Live, legs: tuple[LegPlan, ...]) -> None:
        """The worker hears of other codecs, and of a hold that begins or ends."""
        if (legs, live.held) != (live.call.legs, live.call.held):
            live.call.legs, live.call.held = legs, live.held
            self.tell(live)

    def tell(self, live: Live) -> None:
        """The worker hears how the legs are, and whose."""
        call = live.call
        self._tell(Reformat(call.id, call.legs, call.held, call.swapped), ())

    def _add_line(self, live: Live, branch: Branch, stream: Stream) -> None:
        """A stream that was not there before goes on a line that was dropped, or on a new leg, or is refused."""
        dropped = next((line for line in branch.lines if line.index is None), None)
        if dropped:
            dropped.index = stream.index
        elif (leg := self.join(live, stream, branch.address)) is not None:
            branch.lines.append(Line(stream.index, leg, stream.label))
            live.parties.legs.append(live.role(leg))

    def join(self, live: Live, stream: Stream, address: str) -> int | None:
        """Another leg of a running call; None when it has all its legs, or no port is left."""
        legs = live.call.legs
        if len(legs) >= MAX_LEGS or live.call.phase is not Phase.RECORDING:
            return None
        try:
            claimed = [] if stream.flow else [self.claim(address)]
        except Refusal as error:
            live.call.problem(f"a further leg was not recorded: {error}", Why.SETUP)
            return None
        live.sockets += claimed
        leg = leg_plan(stream, legs[0].role.other)
        live.call.join(leg)
        self._tell(Join(live.call.id, leg), [each.fileno() for each in claimed])
        return len(legs)

    def _pause(self, live: Live, line: Line, now: int) -> None:
        """Begin or end a leg's pause, as its line says; a dropped line pauses."""
        roles_paused = (live.role(line.leg),)
        paused = line.paused or line.index is None
        if paused and line.leg not in live.pauses:
            live.pauses[line.leg] = now
            self._tell(Pause(live.call.id, roles_paused, now), ())
        elif not paused and line.leg in live.pauses:
            del live.pauses[line.leg]
            self._tell(Resume(live.call.id, roles_paused, now), ())
