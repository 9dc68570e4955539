"""Hears the whole desktop's keyboard, by `pynput`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from gateway.hotkey.chord import Chord


class NoKeys(Exception):
    """The keyboard cannot be heard; the text is one sentence."""


@contextmanager
def listening(acts: Mapping[str, Callable[[float], None]]) -> Iterator[None]:
    """While the context lasts, each act is called when its keys are pressed, with the time. Raises NoKeys."""
    keyboard = _keyboard()
    chords = []
    for text, act in acts.items():
        try:
            chords.append((Chord(frozenset(keyboard.HotKey.parse(text))), act))
        except ValueError as error:
            raise NoKeys(f"{text!r} names no keys; expected is something like <ctrl>+<alt>+p") from error

    def pressed(key: Any) -> None:
        now = time.monotonic()
        for chord, act in chords:
            if chord.press(listener.canonical(key), now):
                act(now)

    def released(key: Any) -> None:
        now = time.monotonic()
        for chord, _ in chords:
            chord.release(listener.canonical(key), now)

    listener = keyboard.Listener(on_press=pressed, on_release=released)
    listener.daemon = True
    listener.start()
    listener.wait()
    try:
        if not getattr(listener, "IS_TRUSTED", True):  # known of macOS alone
            raise NoKeys(
                "macOS lets this program hear no keys: allow it under Privacy & Security, Accessibility"
            )
        yield
    finally:
        listener.stop()


def _keyboard() -> Any:
    try:
        from pynput import keyboard
    except ModuleNotFoundError as error:
        raise NoKeys("pynput is missing: install HushTap with its extra `hotkey`") from error
    except ImportError as error:
        raise NoKeys("there is no desktop whose keys could be heard: is DISPLAY set?") from error
    return keyboard
