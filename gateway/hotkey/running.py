"""Puts the hotkey together: keys, gateway and desk in, sound and sight out."""

from __future__ import annotations

import queue
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from gateway.hotkey.asking import Gateway
from gateway.hotkey.desk import REACH_SECONDS, Ask, Desk, Effect, Key, Tone
from gateway.hotkey.display import Display, opened
from gateway.hotkey.following import follow
from gateway.hotkey.keys import listening
from gateway.hotkey.player import Player

TURN_SECONDS = 0.05  # between two looks at what came; a press is carried out within it

Event = Callable[[float], list[Effect]]


@dataclass(frozen=True, slots=True)
class Choice:
    """What the person chose at the command line."""

    extension: str = ""
    key: str = ""
    opt_out_key: str = ""  # empty: none
    reason: str = ""
    opt_out_reason: str = ""
    quiet: bool = False


class _Program:
    """Everything that happens comes into one queue and is dealt with in the main thread."""

    def __init__(self, gateway: Gateway, choice: Choice) -> None:
        self._gateway, self._choice = gateway, choice
        self._desk = Desk(choice.extension, choice.reason, choice.opt_out_reason)
        self._events: queue.Queue[Event] = queue.Queue()
        self._player = None if choice.quiet else Player()
        self.stop = threading.Event()

    def run(self, display: Display) -> None:
        threading.Thread(target=self._follow, daemon=True).start()
        with listening(self._keys()):
            while not self.stop.is_set():
                self._turn()
                if not display.show(self._desk.view(time.monotonic())):
                    break
        self.stop.set()
        if self._player:
            self._player.close()

    def _turn(self) -> None:
        """All that has come, after waiting for something for a moment."""
        try:
            event: Event | None = self._events.get(timeout=TURN_SECONDS)
        except queue.Empty:
            event = None
        while event:
            self._carry_out(event(time.monotonic()))
            event = self._events.get_nowait() if not self._events.empty() else None
        self._carry_out(self._desk.tick(time.monotonic()))

    def _carry_out(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Tone():
                    if self._player:
                        self._player.sound(effect)
                case Ask():
                    threading.Thread(target=self._ask, args=(effect,), daemon=True).start()

    def _ask(self, ask: Ask) -> None:
        ago = min(time.monotonic() - ask.pressed, REACH_SECONDS)
        body: dict[str, object] = {"ago_ms": round(ago * 1000)}
        answer = self._gateway.ask(ask.path, body | ({"reason": ask.reason} if ask.reason else {}))
        self._events.put(lambda now: self._desk.answered(ask.number, answer, now))

    def _follow(self) -> None:
        follow(
            self._gateway,
            self._choice.extension,
            lambda calls: self._events.put(lambda now: self._desk.heard(calls, now)),
            lambda why: self._events.put(lambda now: self._desk.lost(why, now)),
            self.stop,
        )

    def _keys(self) -> dict[str, Callable[[float], None]]:
        keys = {self._choice.key: self._presser(Key.PAUSE)}
        if self._choice.opt_out_key:
            keys[self._choice.opt_out_key] = self._presser(Key.OPT_OUT)
        return keys

    def _presser(self, key: Key) -> Callable[[float], None]:
        return lambda at: self._events.put(lambda now: self._desk.pressed(key, at, now))


def run(gateway: Gateway, choice: Choice) -> None:
    """Until the person closes the window or ends the program. Raises NoKeys."""
    program = _Program(gateway, choice)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: program.stop.set())
    display = opened()
    try:
        program.run(display)
    finally:
        display.close()
