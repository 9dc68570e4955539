"""A real Chromium, driven by its own protocol: real keys and clicks, the accessibility tree, screenshots."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from websockets.sync.client import ClientConnection, connect

from tests.patience import PATIENCE_SECONDS

START_SECONDS = 60.0
COMMAND_SECONDS = 2 * PATIENCE_SECONDS  # longer than a page is waited for
Json = dict[str, Any]

# What the browser is told of a key, besides its name: its code, its place, and the text it makes.
KEYS = {
    "Enter": (13, "Enter", "\r"),
    "Tab": (9, "Tab", ""),
    "Escape": (27, "Escape", ""),
    " ": (32, "Space", " "),
    "ArrowDown": (40, "ArrowDown", ""),
    "ArrowRight": (39, "ArrowRight", ""),
}


class Browser:
    """One process; every tab may have a context (cookies, storage) of its own."""

    def __init__(self, connection: ClientConnection) -> None:
        self._socket = connection
        self._count = 0
        self.events: list[Json] = []

    def command(self, method: str, session: str = "", /, **parameters: object) -> Json:
        """What the browser answers; events that come meanwhile are kept."""
        self._count += 1
        message: Json = {"id": self._count, "method": method, "params": parameters}
        self._socket.send(json.dumps(message | ({"sessionId": session} if session else {})))
        deadline = time.monotonic() + COMMAND_SECONDS
        while True:
            said = json.loads(self._socket.recv(timeout=max(0.0, deadline - time.monotonic())))
            if said.get("id") == self._count:
                assert "error" not in said, f"{method}: {said['error']}"
                result: Json = said["result"]
                return result
            self.events.append(said)

    def context(self) -> str:
        found: str = self.command("Target.createBrowserContext")["browserContextId"]
        return found


class Tab:
    """One page, in a context of its own unless one is given."""

    def __init__(self, browser: Browser, context: str = "") -> None:
        self.browser, self.context = browser, context or browser.context()
        target = browser.command("Target.createTarget", url="about:blank", browserContextId=self.context)
        self._target = target["targetId"]
        attached = browser.command("Target.attachToTarget", targetId=self._target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "Accessibility"):
            self.command(f"{domain}.enable")
        # A page that is not the one on top is treated as if it were, so that two tabs can be looked at in turn.
        self.command("Emulation.setFocusEmulationEnabled", enabled=True)
        self.look(900, 560)

    def command(self, method: str, /, **parameters: object) -> Json:
        return self.browser.command(method, self._session, **parameters)

    def look(self, width: int, height: int, scheme: str = "light", motion: str = "reduce") -> None:
        """A window of this size, for a person who asked for such colours."""
        self.command(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )  # fmt: skip
        wishes = {"prefers-color-scheme": scheme, "prefers-reduced-motion": motion}
        self.command(
            "Emulation.setEmulatedMedia",
            features=[{"name": name, "value": value} for name, value in wishes.items()],
        )

    def go(self, address: str) -> None:
        """Returns when the page has been loaded."""
        self.command("Page.navigate", url="about:blank")
        self.until("location.href === 'about:blank'")
        self.command("Page.navigate", url=address)
        self.until("location.protocol === 'http:' && document.readyState === 'complete'")

    def evaluate(self, expression: str) -> Any:
        said = self.command(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True, userGesture=True
        )
        assert "exceptionDetails" not in said, f"{expression}: {said['exceptionDetails']}"
        return said["result"].get("value")

    def until(self, condition: str, seconds: float = PATIENCE_SECONDS) -> float:
        """Waits in the page until a condition holds; gives the seconds that took."""
        began = time.monotonic()
        held = self.evaluate(
            "new Promise((give) => { const began = performance.now(); const look = () => {"
            f"  if ({condition}) give(true); else if (performance.now() - began > {seconds * 1000}) give(false);"
            "   else setTimeout(look, 10); }; look(); })"
        )
        assert held, f"not so after {seconds} s: {condition}; the page says {self.text()!r}"
        return time.monotonic() - began

    def text(self) -> str:
        found: str = self.evaluate("document.body.innerText")
        return found

    def said(self, element: str) -> str:
        """The text of one element."""
        found: str = self.evaluate(f"document.getElementById({element!r}).innerText.trim()")
        return found

    def press(self, key: str) -> None:
        """One press of a key, from its going down to its coming up."""
        self.hold(key)
        self.release(key)

    def hold(self, key: str, again: bool = False) -> None:
        """A key goes down, or is down and repeats."""
        text = KEYS[key][2] if key in KEYS else key
        made = {"text": text} if text else {}
        self._key("keyDown" if text else "rawKeyDown", key, autoRepeat=again, **made)

    def release(self, key: str) -> None:
        self._key("keyUp", key)

    def _key(self, kind: str, key: str, **more: object) -> None:
        code, place, _ = KEYS[key] if key in KEYS else (ord(key.upper()), f"Key{key.upper()}", key)
        about = {"key": key, "code": place, "windowsVirtualKeyCode": code}
        self.command("Input.dispatchKeyEvent", type=kind, **about, **more)

    def type(self, text: str) -> None:
        self.command("Input.insertText", text=text)

    def click(self, selector: str) -> None:
        """With the mouse, in the middle of an element that can be seen and reached there."""
        found = self.evaluate(
            f"(() => {{ const e = document.querySelector({selector!r}); e.scrollIntoView({{block: 'center'}});"
            "const r = e.getBoundingClientRect(); const x = r.x + r.width / 2, y = r.y + r.height / 2;"
            "return {x, y, hit: e.contains(document.elementFromPoint(x, y))}; })()"
        )
        assert found["hit"], f"{selector} cannot be reached by the mouse"
        at = {"x": found["x"], "y": found["y"], "button": "left", "clickCount": 1}
        for kind in ("mousePressed", "mouseReleased"):
            self.command("Input.dispatchMouseEvent", type=kind, **at)

    def nodes(self) -> list[tuple[str, str]]:
        """Role and accessible name of everything that a screen reader meets, in order."""
        tree = self.command("Accessibility.getFullAXTree")["nodes"]
        return [
            (node["role"]["value"], node.get("name", {}).get("value", ""))
            for node in tree
            if not node["ignored"]
        ]

    def focused(self) -> str:
        """The id, or else the text, of the element that has the focus."""
        found: str = self.evaluate("document.activeElement.id || document.activeElement.innerText")
        return found

    def offline(self, off: bool) -> None:
        self.command(
            "Network.emulateNetworkConditions", offline=off, latency=0, downloadThroughput=-1, uploadThroughput=-1
        )  # fmt: skip

    def faults(self) -> list[str]:
        """Uncaught errors, and what the content security policy stopped."""
        found = []
        for event in self.browser.events:
            match event:
                case {"method": "Runtime.exceptionThrown", "sessionId": self._session, "params": said}:
                    found.append(said["exceptionDetails"]["text"])
                case {"method": "Log.entryAdded", "sessionId": self._session, "params": {"entry": entry}}:
                    found += [entry["text"]] if entry["source"] in ("security", "javascript") else []
        return found

    def screenshot(self, path: Path) -> None:
        self.evaluate("scrollTo(0, 0)")
        path.parent.mkdir(parents=True, exist_ok=True)
        shot = self.command("Page.captureScreenshot", format="png", optimizeForSpeed=False)
        path.write_bytes(base64.b64decode(shot["data"]))

    def close(self) -> None:
        self.browser.command("Target.closeTarget", targetId=self._target)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextmanager
def chromium(profile: Path) -> Iterator[Browser]:
    """Runs while the context lasts."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert program, "chromium is not installed: scripts/bootstrap test"
    options = ["--headless=new", "--remote-debugging-port=0", f"--user-data-dir={profile}", "--no-first-run"]
    options += ["--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking", "--mute-audio"]
    options += ["--no-sandbox"] if os.geteuid() == 0 else []
    process = subprocess.Popen(
        [program, *options, "about:blank"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        address = _address(profile / "DevToolsActivePort", process)
        with connect(address, max_size=None, compression=None, ping_interval=None) as connection:
            yield Browser(connection)
    finally:
        process.terminate()
        process.wait(START_SECONDS)


def _address(told: Path, process: subprocess.Popen[bytes]) -> str:
    deadline = time.monotonic() + START_SECONDS
    while not (told.exists() and len(lines := told.read_text().split("\n")) > 1):
        assert process.poll() is None, f"chromium ended with {process.returncode}"
        assert time.monotonic() < deadline, "chromium does not answer"
        time.sleep(0.02)
    return f"ws://127.0.0.1:{lines[0]}{lines[1]}"
