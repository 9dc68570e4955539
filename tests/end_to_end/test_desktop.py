"""A real call on a real gateway, seen and paused on a call-taker's two screens: the page and the hotkey."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.console.page.browser import Tab, chromium
from tests.console.page.looks import shows
from tests.end_to_end import callers
from tests.end_to_end.gateway import Gateway
from tests.hotkey.desktop import desktop, hotkey

CALL_SECONDS = 240.0  # longer than anybody looks at it
LOSS_SECONDS = 15.0  # they wait 2.5 s; the rest is for a machine that is busy


@contextmanager
def calling(gateway: Gateway) -> Iterator[None]:
    """A call lasts as long as the context; then its client is gone."""
    loop = asyncio.new_event_loop()
    task = loop.create_task(callers.place_all([callers.call(301, CALL_SECONDS)], gateway.server))
    with ThreadPoolExecutor(1) as thread:
        talking = thread.submit(loop.run_until_complete, task)
        try:
            yield
        finally:
            loop.call_soon_threadsafe(task.cancel)
            with suppress(CancelledError, asyncio.CancelledError):
                talking.result()
    loop.close()


def test_page_and_hotkey_show_what_is_true(tmp_path: Path) -> None:
    with (
        Gateway(tmp_path / "gateway") as gateway,
        chromium(tmp_path / "chromium") as browser,
        desktop() as screen,
        Tab(browser) as page,
    ):
        token = gateway.run("agents", "add", "Desk 301", "--extension", "610301").out.strip()
        page.go(f"{gateway.api}/agent#token={token}")
        with hotkey(gateway.api, screen, tmp_path, "--quiet", token=token) as key:
            shows(page, "idle")
            key.shows("NO CALL")
            with calling(gateway):
                shows(page, "recording")
                key.shows("RECORDING")
                page.press("p")
                shows(page, "paused")
                assert page.said("about") == "Paused by you"
                key.shows("PAUSED")
                screen.keys("key", "ctrl+alt+p")
                key.shows("RECORDING")
                shows(page, "recording")
                gateway.kill()
                shows(page, "unknown", LOSS_SECONDS)
                key.shows("UNKNOWN", LOSS_SECONDS)
