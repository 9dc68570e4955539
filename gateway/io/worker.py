"""A media worker: drains its sockets on a clock, runs the engine, hands what it writes to the appender.

Started by the control process with one end of a socket pair; ends when that is closed.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from gateway.io.append import Appender
from gateway.io.channel import Channel, ChannelClosed, Configure, Message, Ready, Ticked
from gateway.io.following import Following
from gateway.io.heap import collect_seldom, keep_heap, set_work_aside
from gateway.io.log import begin_childs_log
from gateway.io.overhearing import Overhearing
from gateway.io.process_metrics import resident_bytes
from gateway.io.receive import Receiver
from gateway.io.secrecy import lock_memory, refuse_dumps
from gateway.io.tap_messages import Attach
from gateway.recording.engine import Engine
from gateway.recording.messages import Close, Command, Counted, Finished, Join, Open
from gateway.rtp.packets import PacketBatch

REPORT_NS = 1_000_000_000
MAX_BEHIND = 64  # datagrams that wait for the control process before what was overheard waits, too
MAX_DRAINS = 64  # further ones in a tick: a socket flooded faster than it is drained ends no tick


class Worker:
    """One process's loop; `run` returns when the control process is gone."""

    def __init__(self, channel: Channel, configure: Configure) -> None:
        self._channel = channel
        self._tick_ns = configure.engine.tick_ns
        self._engine = Engine(configure.engine, os.urandom)
        self._receiver = Receiver()
        self._appender = Appender(Path(configure.directory))
        self._arriving: dict[str, list[int]] = {}  # sockets of legs that are being opened
        self._sockets: dict[str, list[int]] = {}
        self._taps: dict[int, Overhearing] = {}
        self._following = Following(self._engine, self._taps)
        self._ticks = self._latest_ns = self._busy_ns = 0
        self._reported_ns = 0
        self._cpu_ns = 0  # told of so far

    def run(self, waiting: Iterable[tuple[Message, list[int]]] = ()) -> None:
        """Tick until the channel is closed; `waiting` has been received already."""
        self._take(waiting)
        due = time.monotonic_ns() + self._tick_ns
        poll = select.poll()
        poll.register(self._channel, select.POLLIN)
        try:
            while True:
                wait_ns = due - time.monotonic_ns()
                if wait_ns > 0:
                    poll.poll(-(-wait_ns // 1_000_000))
                self._take(self._channel.receive())
                now, worked = time.monotonic_ns(), time.thread_time_ns()
                if now < due:
                    continue
                self._tick(now)
                self._measure(now - due, time.thread_time_ns() - worked)
                due = max(due + self._tick_ns, now)
        except ChannelClosed:
            self._appender.put(self._engine.abandon())
        finally:
            self._appender.close()

    def _take(self, messages: Iterable[tuple[Message, list[int]]]) -> None:
        """Commands are obeyed, and answered, as they come: nobody who paused a call waits for a tick."""
        commands: list[Command] = []
        for message, sockets in messages:
            if isinstance(message, Attach):
                self._taps[message.tap] = Overhearing(message, sockets)
            if isinstance(message, Open | Join) and sockets:
                self._arriving.setdefault(message.call_id, []).extend(sockets)
            if isinstance(message, Command):
                commands.append(message)
        if commands:
            before = self._came_before(commands)
            self._send(self._engine.obey(commands, time.monotonic_ns(), before))
            self._listen()
            self._following.obeyed(commands)

    def _came_before(self, commands: Sequence[Command]) -> PacketBatch | None:
        """What waits for the calls that commands change: keys that were pressed, packets under older keys."""
        calls = {command.call_id for command in commands if not isinstance(command, Open | Join | Close)}
        handles = [handle for call_id in calls for handle in self._sockets.get(call_id, ())]
        return self._receiver.drain_these(handles) if handles else None

    def _tick(self, now: int) -> None:
        heard, turn = self._drain_taps(now), self._engine.turn
        batch, more = self._receiver.drain(turn)
        for _ in range(MAX_DRAINS):  # all of it, before anything is committed: keys may be among it
            if not more:
                break
            self._engine.receive(batch, now)
            batch, more = self._receiver.drain(turn)
        writes, events = self._engine.tick(now, batch)
        self._drop({event.call_id for event in events if isinstance(event, Finished)})
        self._appender.put(writes)
        self._send([*events, *self._appender.events(), *heard])

    def _drain_taps(self, now: int) -> list[Message]:
        heard: list[Message] = []
        for tap in self._taps.values():
            for batch in tap.drain():
                self._engine.receive(batch, now)
            heard += tap.messages(behind=self._channel.pending > MAX_BEHIND)
        return heard

    def _send(self, events: Sequence[Message]) -> None:
        if self._channel.pending:  # a slow reader is spared what the next report says again
            events = [event for event in events if not isinstance(event, Counted)]
        self._channel.send(events)

    def _listen(self) -> None:
        """Drain the sockets of legs that have been opened, from the next tick on."""
        for call_id, handles in self._arriving.items():
            legs = self._engine.legs(call_id)
            if not legs:  # it ended while a leg of it was on its way
                for handle in handles:
                    os.close(handle)
                continue
            mine = self._sockets.setdefault(call_id, [])
            for handle, leg in zip(handles, legs[len(mine) :], strict=True):
                self._receiver.add(handle, leg, self._engine.turn_of(call_id))
            mine += handles
        self._arriving.clear()

    def _drop(self, finished: set[str]) -> None:
        for call_id in finished:
            for handle in self._sockets.pop(call_id, ()):
                self._receiver.remove(handle)
            for handle in self._arriving.pop(call_id, ()):
                os.close(handle)
        self._following.drop(finished)

    def _measure(self, late_ns: int, busy_ns: int) -> None:
        self._ticks += 1
        self._latest_ns = max(self._latest_ns, late_ns)
        self._busy_ns += busy_ns
        now = time.monotonic_ns()
        if now - self._reported_ns >= REPORT_NS:
            before, self._cpu_ns = self._cpu_ns, time.process_time_ns()
            ticked = Ticked(
                self._ticks, self._latest_ns, self._busy_ns, self._cpu_ns - before, resident_bytes()
            )
            self._channel.send([ticked, *(each for tap in self._taps.values() for each in tap.report())])
            self._reported_ns = now
            self._ticks = self._latest_ns = self._busy_ns = 0


def main(handle: int) -> None:
    """Run on an inherited socket until the control process closes it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal signals all; the control process decides
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    begin_childs_log()
    keep_heap()
    collect_seldom()
    refuse_dumps()
    locked = lock_memory()
    channel = Channel(socket.socket(fileno=handle))
    ready = select.poll()
    ready.register(channel, select.POLLIN)
    ready.poll()
    try:
        (configure, _), *waiting = channel.receive()  # one that replaces another is told of its calls at once
        assert isinstance(configure, Configure)
        channel.send([Ready(locked)])
        worker = Worker(channel, configure)
        set_work_aside()
        worker.run(waiting)
    except ChannelClosed:
        return


if __name__ == "__main__":
    main(int(sys.argv[1]))
