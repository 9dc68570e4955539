"""What a person sees: a small window on top of all others, or, where there can be none, lines at the terminal."""

from __future__ import annotations

import importlib
import time
from typing import Any, Protocol

from gateway.hotkey.desk import State, View

WORDS = {
    State.RECORDING: "RECORDING",
    State.PAUSED: "PAUSED",
    State.OFF: "OFF",
    State.UNKNOWN: "UNKNOWN",
    State.IDLE: "NO CALL",
}
# Ground and ink of each state, at a contrast of 7 and more.
COLOURS = {
    State.RECORDING: ("#fdeeec", "#8f1410"),
    State.PAUSED: ("#e5f0fb", "#0a4379"),
    State.OFF: ("#e9ebee", "#353c45"),
    State.UNKNOWN: ("#fff0c2", "#5e3b00"),
    State.IDLE: ("#f3f4f6", "#3f4753"),
}
WIDTH, HEIGHT = 330, 96
FONT = "TkDefaultFont"


class Display(Protocol):
    def show(self, view: View) -> bool:
        """Whether the person still wants it."""

    def close(self) -> None: ...


def opened() -> Display:
    """The best there is."""
    try:
        tkinter = importlib.import_module("tkinter")
    except ImportError:
        return Terminal()
    try:
        return Window(tkinter)
    except tkinter.TclError:
        return Terminal()


def clock(seconds: float | None) -> str:
    """0:42, or 1:02:03; empty for none."""
    if seconds is None:
        return ""
    minutes, rest = divmod(int(max(0.0, seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def line(view: View) -> str:
    """All that is shown, in one line."""
    return " ".join(filter(None, (WORDS[view.state], clock(view.seconds))))


class Terminal:
    """A line whenever state or sentence changes."""

    def __init__(self) -> None:
        self._shown: tuple[State, str] | None = None

    def show(self, view: View) -> bool:
        now = (view.state, view.message)
        if now != self._shown:
            self._shown = now
            told = ": ".join(filter(None, (WORDS[view.state], view.message)))
            print(f"{time.strftime('%H:%M:%S')}  {told}", flush=True)
        return True

    def close(self) -> None:
        pass


class Window:
    """Raises tkinter.TclError where there is no display."""

    def __init__(self, tkinter: Any) -> None:
        self._root = tkinter.Tk(className="HushTap")
        self._root.title("HushTap")
        self._root.geometry(f"{WIDTH}x{HEIGHT}-24-64")
        self._root.resizable(False, False)
        self._root.attributes("-topmost", True)
        self._root.protocol("WM_DELETE_WINDOW", self._leave)
        self._canvas = tkinter.Canvas(self._root, width=WIDTH, height=HEIGHT, highlightthickness=0)
        self._canvas.pack()
        self._shown: View | None = None
        self._open = True

    def show(self, view: View) -> bool:
        if self._open:
            if self._changed(view):
                self._draw(view)
            self._root.update()
        return self._open

    def close(self) -> None:
        self._root.destroy()

    def _leave(self) -> None:
        self._open = False

    def _changed(self, view: View) -> bool:
        before, self._shown = self._shown, view
        return before is None or (line(before), before.asking, before.message) != (
            line(view),
            view.asking,
            view.message,
        )

    def _draw(self, view: View) -> None:
        ground, ink = COLOURS[view.state]
        canvas = self._canvas
        canvas.delete("all")
        canvas.configure(background=ground)
        self._shape(view.state, ink)
        canvas.create_text(
            84, 34, text=WORDS[view.state], anchor="w", fill=ink, font=(FONT, 20, "bold"), tags="word"
        )
        canvas.create_text(
            WIDTH - 14, 34, text=clock(view.seconds), anchor="e", fill=ink, font=(FONT, 16), tags="clock"
        )
        told = "asking…" if view.asking else view.message
        canvas.create_text(
            84, 58, text=told, anchor="nw", fill=ink, font=(FONT, 10), width=WIDTH - 96, tags="message"
        )
        self._root.title(f"HushTap: {line(view)}")

    def _shape(self, state: State, ink: str) -> None:
        """Filled circle, two bars, empty square, question mark, dash: told apart without colour."""
        canvas = self._canvas
        match state:
            case State.RECORDING:
                canvas.create_oval(20, 20, 68, 68, fill=ink, outline=ink)
            case State.PAUSED:
                for left in (24, 48):
                    canvas.create_rectangle(left, 20, left + 16, 68, fill=ink, outline=ink)
            case State.OFF:
                canvas.create_rectangle(23, 23, 65, 65, outline=ink, width=6)
            case State.UNKNOWN:
                canvas.create_text(44, 45, text="?", fill=ink, font=(FONT, 38, "bold"))
            case State.IDLE:
                canvas.create_rectangle(22, 41, 66, 47, fill=ink, outline=ink)
