from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.console.fake import TOKENS
from tests.console.page.browser import Browser, Tab, chromium
from tests.console.page.switchboard import Switchboard, switchboard


@pytest.fixture(scope="package")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("chromium")) as started:
        yield started


@pytest.fixture(scope="package")
def running() -> Iterator[Switchboard]:
    with switchboard() as started:
        yield started


@pytest.fixture
def gateway(running: Switchboard) -> Switchboard:
    """One for all tests, in which nothing has happened yet; a test that ends or freezes it starts its own."""
    running.do(lambda calls: calls.clear())
    return running


@pytest.fixture
def tab(browser: Browser) -> Iterator[Tab]:
    browser.events.clear()
    with Tab(browser) as opened:
        yield opened
        assert opened.faults() == []


@pytest.fixture
def signed_in(tab: Tab, gateway: Switchboard) -> Callable[..., Tab]:
    """The page of the holder of a token, once it shows what the gateway said."""

    def enter(token: str = "one", opened: Tab = tab, at: Switchboard = gateway) -> Tab:
        opened.go(f"{at.url}/agent#token={TOKENS[token]}")
        opened.until("document.documentElement.dataset.state !== 'unknown'")
        return opened

    return enter


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Where screenshots are kept: with HUSHTAP_IMAGES=docs/images those of the documentation are made anew."""
    return Path(os.environ.get("HUSHTAP_IMAGES", tmp_path))
