"""The call-taker's page in a real browser: what is shown is only what the gateway has said."""

from __future__ import annotations

from collections.abc import Callable

from gateway.recording.messages import Outcome, RecordingNow
from gateway.recording.model import Cause
from tests.console.page.browser import Tab
from tests.console.page.switchboard import Switchboard

Enter = Callable[..., Tab]


def shows(tab: Tab, state: str, seconds: float = 5.0) -> float:
    """Waits until word, colour, shape, title, icon and accessible name all say one state."""
    word = {"idle": "No call"}.get(state, state.title())
    took = tab.until(f"document.documentElement.dataset.state === {state!r}", seconds)
    assert tab.evaluate("document.getElementById('word').textContent") == word
    assert tab.evaluate("document.querySelector('#shape use').getAttribute('href')") == f"#shape-{state}"
    assert word in tab.evaluate("document.title")
    assert tab.evaluate("document.getElementById('icon').href").endswith(f"/{state}.svg")
    assert ("heading", word) in tab.nodes()
    assert ("main", word) in tab.nodes()
    return took


def test_a_call_is_shown_paused_and_resumed_by_mouse(gateway: Switchboard, signed_in: Enter) -> None:
    tab = signed_in()
    shows(tab, "idle")
    gateway.begin()
    shows(tab, "recording")
    assert ("button", "Pause recording") in tab.nodes()
    tab.click("#press")
    shows(tab, "paused")
    assert ("button", "Resume recording") in tab.nodes()
    assert tab.said("about") == "Paused by you"
    assert tab.said("again").startswith("9:5") or tab.said("again") == "10:00"
    tab.click("#press")
    shows(tab, "recording")
    assert [asked[0] for asked in gateway.asked()] == ["pause", "resume"]
    gateway.do(lambda calls: calls.none())
    shows(tab, "idle")


def test_the_keyboard_alone_does_it(gateway: Switchboard, signed_in: Enter) -> None:
    gateway.begin()
    tab = signed_in()
    assert tab.focused() == "press"
    for key, state in ((" ", "paused"), ("Enter", "recording"), ("p", "paused"), ("P", "recording")):
        tab.press(key)
        shows(tab, state)
