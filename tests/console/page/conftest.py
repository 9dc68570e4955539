from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.console.fake import TOKENS
from tests.console.page.browser import Browser, Tab, chromium
from tests.console.page.switchboard import Switchboard, switchboard


@pytest.fixture(scope="package")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("chromium")) as running:
        yield running


@pytest.fixture
def gateway() -> Iterator[Switchboard]:
    with switchboard() as running:
        yield running


@pytest.fixture
def tab(browser: Browser) -> Iterator[Tab]:
    browser.events.clear()
    with Tab(browser) as opened:
        yield opened
        assert opened.faults() == []


@pytest.fixture
def signed_in(tab: Tab, gateway: Switchboard) -> Callable[..., Tab]:
    """The page of the holder of a token, once it shows what the gateway said."""

    def enter(token: str = "one") -> Tab:
        tab.go(f"{gateway.url}/agent#token={TOKENS[token]}")
        tab.until("document.documentElement.dataset.state !== 'unknown'")
        return tab

    return enter
