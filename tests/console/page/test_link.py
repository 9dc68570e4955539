"""What is known is lost at once when the gateway is not heard, and is back as soon as it speaks again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.console.page.browser import Tab
from tests.console.page.looks import Enter, shows, tells
from tests.console.page.switchboard import Switchboard, switchboard

LOSS_SECONDS = 15.0  # the page waits 2.5 s; the rest is for a machine that is busy


@pytest.fixture
def gateway() -> Iterator[Switchboard]:
    with switchboard() as started:
        yield started


def is_lost(tab: Tab) -> None:
    """Nothing of what was known before is shown as if it were so now."""
    shows(tab, "unknown", LOSS_SECONDS)
    assert tab.said("clock") == ""
    assert tab.evaluate("document.getElementById('countdown').hidden")
    assert "Take no card details now" in tab.text()
    tells(tab, "Unknown.", "alarm")
    assert ("button", "Try to pause") in tab.nodes()


def test_a_gateway_that_ends_and_comes_back(gateway: Switchboard, signed_in: Enter) -> None:
    gateway.begin()
    tab = signed_in()
    tab.press("p")
    shows(tab, "paused")
    gateway.stop()
    is_lost(tab)
    tab.press("p")
    tells(tab, "The gateway did not answer. Treat the call as being recorded.")
    tells(tab, "Trying again in", "about")
    gateway.start()
    shows(tab, "paused")
    assert tab.said("alarm") == ""


def test_a_gateway_that_falls_silent(gateway: Switchboard, signed_in: Enter) -> None:
    gateway.begin()
    tab = signed_in()
    shows(tab, "recording")
    with gateway.frozen():
        is_lost(tab)
    shows(tab, "recording")


def test_a_computer_without_network(gateway: Switchboard, signed_in: Enter) -> None:
    gateway.begin()
    tab = signed_in()
    shows(tab, "recording")
    tab.offline(True)
    is_lost(tab)
    tab.offline(False)
    shows(tab, "recording")


def test_a_page_whose_address_is_not_allowed_says_so(gateway: Switchboard, signed_in: Enter) -> None:
    gateway.begin()
    tab = signed_in()
    tab.evaluate("window.WebSocket = class extends WebSocket { send() { this.close() } }")
    gateway.stop()
    gateway.start()
    tells(tab, "gives no live state to pages of 127.0.0.1", "about")
