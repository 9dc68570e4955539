"""What a tab shows, as a test asks for it."""

from __future__ import annotations

from collections.abc import Callable

from tests.console.page.browser import Tab
from tests.patience import PATIENCE_SECONDS

Enter = Callable[..., Tab]
WORDS = {"recording": "Recording", "paused": "Paused", "off": "Off", "unknown": "Unknown", "idle": "No call"}


def shows(tab: Tab, state: str, seconds: float = PATIENCE_SECONDS) -> float:
    """Waits until word, shape, title, icon and accessible names all say one state; gives the seconds that took."""
    word = WORDS[state]
    took = tab.until(f"document.documentElement.dataset.state === {state!r}", seconds)
    assert tab.said("word") == word.upper()
    assert tab.evaluate("document.querySelector('#shape use').getAttribute('href')") == f"#shape-{state}"
    assert word in tab.evaluate("document.title")
    assert tab.evaluate("document.getElementById('icon').href").endswith(f"/{state}.svg")
    nodes = tab.nodes()
    assert ("heading", word) in nodes
    assert ("main", word) in nodes
    return took


def tells(tab: Tab, text: str, element: str = "message") -> None:
    """Waits until an element says so."""
    tab.until(f"document.getElementById({element!r}).textContent.includes({text!r})")
