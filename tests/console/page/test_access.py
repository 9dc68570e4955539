"""Who may see the page's calls: tokens given, kept, refused, withdrawn, forgotten."""

from __future__ import annotations

from tests.console.fake import TOKENS
from tests.console.page.browser import Browser, Tab
from tests.console.page.looks import Enter, shows, tells
from tests.console.page.switchboard import Switchboard

KEPT = "[sessionStorage, localStorage].map((store) => !!store.getItem('hushtap.access'))"
ASKS = "document.documentElement.dataset.screen === 'sign-in'"


def enter(tab: Tab, token: str) -> None:
    tab.until(ASKS)
    assert tab.focused() == "token"
    tab.type(token)
    tab.press("Enter")


def test_a_token_is_asked_for_once(gateway: Switchboard, tab: Tab) -> None:
    gateway.begin()
    tab.go(f"{gateway.url}/agent")
    assert tab.evaluate("document.title") == "Sign in – HushTap"
    enter(tab, TOKENS["one"])
    shows(tab, "recording")
    assert tab.evaluate(KEPT) == [True, False]
    tab.go(f"{gateway.url}/agent")
    shows(tab, "recording")
    tab.click("#sign-out")
    tab.until(ASKS)
    assert tab.evaluate(KEPT) == [False, False]
    assert "Recording" not in tab.text()


def test_a_token_is_remembered_where_the_person_wants_it(
    gateway: Switchboard, tab: Tab, browser: Browser
) -> None:
    gateway.begin()
    tab.go(f"{gateway.url}/agent")
    tab.click("#remember")
    tab.click("#token")
    enter(tab, TOKENS["one"])
    shows(tab, "recording")
    assert tab.evaluate(KEPT) == [False, True]
    with Tab(browser, tab.context) as other:
        other.go(f"{gateway.url}/agent")
        shows(other, "recording")
        other.click("#sign-out")
        tab.until(ASKS)


def test_a_token_in_the_address_does_not_stay_there(gateway: Switchboard, signed_in: Enter) -> None:
    tab = signed_in()
    assert tab.evaluate("location.href") == f"{gateway.url}/agent"
    history = tab.command("Page.getNavigationHistory")["entries"]
    assert not any("token" in entry["url"] for entry in history)
    assert tab.evaluate(KEPT) == [True, False]
    tab.evaluate(f"location.hash = 'token={TOKENS['two']}&remember=yes'")
    tab.until("location.hash === ''")
    assert tab.evaluate(KEPT) == [False, True]
    gateway.begin("c9", "203")
    tells(tab, "203", "line")


def test_a_wrong_token_is_told(gateway: Switchboard, tab: Tab) -> None:
    tab.go(f"{gateway.url}/agent")
    enter(tab, "ht_00000001_no")
    tells(tab, "does not know this token", "access-fault")
    assert ("alert", "") in tab.nodes()
    assert tab.evaluate(KEPT) == [False, False]


def test_one_extension_of_several(gateway: Switchboard, tab: Tab) -> None:
    gateway.begin("c8", "202")
    gateway.begin("c9", "203")
    tab.go(f"{gateway.url}/agent")
    tab.type(TOKENS["two"])
    tab.click("#extension")
    tab.type("201")
    tab.press("Enter")
    tells(tab, "not for that extension", "access-fault")
    tab.evaluate("document.getElementById('extension').value = ''")
    tab.type("203")
    tab.press("Enter")
    shows(tab, "recording")
    assert tab.said("line") == "Extension 203"


def test_a_token_that_is_withdrawn_ends_the_session(gateway: Switchboard, signed_in: Enter) -> None:
    gateway.begin()
    tab = signed_in()
    shows(tab, "recording")
    withdrawn = gateway.agents.agents.pop("00000001")
    try:
        tab.until(ASKS)
        tells(tab, "withdrawn", "access-fault")
        assert tab.evaluate(KEPT) == [False, False]
    finally:
        gateway.agents.agents["00000001"] = withdrawn
