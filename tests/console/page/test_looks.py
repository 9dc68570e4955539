"""Every state can be seen, whatever the colours, the eyes and the window; the pictures are the documentation's."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.recording.messages import Outcome, RecordingNow
from gateway.recording.model import Cause, Direction
from tests.console.fake import SECOND
from tests.console.page.browser import Tab
from tests.console.page.looks import Enter, shows
from tests.console.page.switchboard import Calls, Switchboard

LATE = "1.2 s that it covers were stored before, and are cut out of the recording"
CONTRAST = 4.5  # WCAG 2.2, 1.4.3
PICTURE = (960, 620)
SIZES = [(320, 240), (360, 640), (900, 560), (1280, 720), (2560, 1440)]

# Of every text that can be seen: its contrast with what lies behind it, with the text, where that is too low.
PALE = """(() => {
  const channel = (value) => (value /= 255) <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  const read = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const behind = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const colour = read(getComputedStyle(each).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
  };
  const found = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !element.checkVisibility() || element.closest(".unseen, noscript")) continue;
    const [one, other] = [light(read(getComputedStyle(element).color)), light(behind(element))];
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (ratio < LEAST) found.push([texts.currentNode.data.trim(), ratio]);
  }
  return found;
})()""".replace("LEAST", str(CONTRAST))

NAMED = ("button", "textbox", "checkbox", "radio", "radiogroup", "dialog", "group", "region", "timer", "main")


def begin(calls: Calls, **facts: object) -> None:
    calls.clear()
    calls.begin("c1", "201")
    calls.change("c1", **facts)


def paused(seconds: int) -> dict[str, object]:
    now = time.time_ns()
    return {
        "state": RecordingNow.PAUSED,
        "cause": Cause.AGENT,
        "actor": "00000001",
        "since_ns": now - 42 * SECOND,
        "resumes_ns": now + seconds * SECOND,
    }


def recording(calls: Calls) -> None:
    begin(calls, direction=Direction.OUTBOUND, since_ns=time.time_ns() - 95 * SECOND)


STATES: dict[str, Callable[[Calls], None]] = {
    "idle": lambda calls: calls.clear(),
    "recording": recording,
    "paused": lambda calls: begin(calls, **paused(558)),
    "off": lambda calls: begin(calls, state=RecordingNow.OFF, cause=Cause.OPT_OUT),
    "unknown": lambda calls: begin(calls, state=RecordingNow.UNKNOWN),
}


def look(tab: Tab) -> None:
    """Nothing is too pale to be read, and everything that can be used or read has its name."""
    assert tab.evaluate(PALE) == []
    assert [(role, name) for role, name in tab.nodes() if role in NAMED and not name] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_state_can_be_read(gateway: Switchboard, signed_in: Enter, scheme: str, pictures: Path) -> None:
    tab = signed_in()
    tab.look(*PICTURE, scheme)
    suffix = "" if scheme == "light" else "-dark"
    for state, make in STATES.items():
        gateway.do(make)
        shows(tab, state)
        look(tab)
        tab.screenshot(pictures / f"agent-{state}{suffix}.png")


def test_what_comes_with_a_state_can_be_read(gateway: Switchboard, signed_in: Enter, pictures: Path) -> None:
    tab = signed_in()
    tab.look(*PICTURE)
    gateway.do(lambda calls: begin(calls, **paused(18), warning=True))
    shows(tab, "paused")
    look(tab)
    tab.screenshot(pictures / "agent-resuming-soon.png")
    tab.click("#stop")
    tab.click("#ask input[value=distress]")
    look(tab)
    tab.screenshot(pictures / "agent-stop.png")
    tab.press("Escape")

    def late(calls: Calls) -> None:
        begin(calls)
        calls.begin("c2", "201", held=True)
        calls.outcome, calls.why = Outcome.LATE, LATE

    gateway.do(late)
    tab.look(960, 720)
    shows(tab, "recording")
    tab.press("p")
    tab.until("document.getElementById('message').textContent.includes('late')")
    look(tab)
    tab.screenshot(pictures / "agent-late-two-calls.png")
    tab.click("#sign-out")
    tab.until("document.documentElement.dataset.screen === 'sign-in'")
    look(tab)
    tab.screenshot(pictures / "agent-sign-in.png")


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_it_fits_the_window(
    gateway: Switchboard, signed_in: Enter, width: int, height: int, pictures: Path
) -> None:
    tab = signed_in()
    tab.look(width, height)
    gateway.do(lambda calls: begin(calls, **paused(18), warning=True))
    shows(tab, "paused")
    assert tab.evaluate("document.documentElement.scrollWidth") <= width, "nothing lies to the right"
    for part in ("shape", "word", "clock", "press", "again", "extend"):
        place = tab.evaluate(f"document.getElementById({part!r}).getBoundingClientRect().toJSON()")
        assert place["bottom"] <= height, f"{part} is not seen without scrolling"
        assert place["width"] > 0
    if (width, height) == SIZES[0]:
        tab.screenshot(pictures / "agent-small.png")


def test_nothing_moves_for_those_who_want_no_motion(gateway: Switchboard, signed_in: Enter) -> None:
    tab = signed_in()
    gateway.begin()
    shows(tab, "recording")
    moving = "document.getAnimations().length"
    assert tab.evaluate(moving) == 0
    tab.look(900, 560, motion="no-preference")
    assert tab.evaluate(moving) == 1
