"""A running endpoint between a caller and the practice's phone, for tests."""

from __future__ import annotations

import asyncio
import sys
import wave
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

import pytest

from gateway.config.endpoint import EndpointSettings
from gateway.endpoint.messages import FromProcess
from gateway.io.endpoint import Endpoint
from tests.endpoint.phone import DEADLINE, HOST, Phone
from tests.endpoint.sounds import decode, noise
from tests.ports import free_port, free_range

NEEDS_PJSUA = pytest.mark.skipif(sys.version_info >= (3, 13), reason="pjsua2 has wheels for older Pythons")

T = TypeVar("T", bound=FromProcess)
NOTICE_SECONDS = 0.6
NOTICE = noise(7, NOTICE_SECONDS)


def write_wav(path: Path, octets: bytes) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(decode(octets).astype("<i2").tobytes())
    return path


@dataclass
class Trunk:
    """`told`: all that the endpoint said."""

    endpoint: Endpoint
    server: tuple[str, int]
    phone: Phone
    told: list[FromProcess] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    registered: list[bool] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def of(self, kind: type[T], call: str | None = None) -> list[T]:
        return [
            m for m in self.told if isinstance(m, kind) and (call is None or getattr(m, "call", None) == call)
        ]

    async def until(self, wanted: Callable[[], object], what: str) -> None:
        try:
            async with asyncio.timeout(DEADLINE):
                while not wanted():
                    self.news.clear()
                    await self.news.wait()
        except TimeoutError:
            raise AssertionError(f"{what}; told {self.told}") from None

    async def message(self, kind: type[T], call: str | None = None) -> T:
        """The first of a kind, of a call."""
        await self.until(lambda: self.of(kind, call), f"no {kind.__name__}")
        return self.of(kind, call)[0]


@asynccontextmanager
async def trunk(
    folder: Path, phone: Phone | None = None, changes: Mapping[str, object] = MappingProxyType({})
) -> AsyncIterator[Trunk]:
    """An endpoint whose practice has one phone; `changes` of the settings."""
    phone = await (phone or Phone(sound=noise(2, 2.0))).open()
    values: dict[str, object] = {
        "kind": "endpoint", "registrar": f"{HOST}:{free_port()}", "register_here": False, "user": "practice",
        "address": HOST, "port": free_port(), "destination": f"sip:100@{HOST}:{phone.port}",
        "notice": write_wav(folder / "given.wav", NOTICE), "calls": 2, "first_rtp_port": free_range(96),
        "busy_seconds": 1.0,
    }  # fmt: skip
    settings = EndpointSettings.model_validate(values | dict(changes))
    found = Trunk(None, (HOST, settings.port), phone)  # type: ignore[arg-type]

    def hear(message: FromProcess) -> None:
        found.told.append(message)
        found.news.set()

    def registered(known: bool) -> None:
        found.registered.append(known)
        found.news.set()

    found.endpoint = Endpoint(
        settings, hear, found.dropped.append, registered, lambda processes, died: found.news.set()
    )
    try:
        await found.endpoint.start()
        yield found
    except AssertionError as error:
        error.add_note(
            f"the endpoint told {[type(each).__name__ for each in found.told]}, dropped {found.dropped}"
        )
        raise
    finally:
        await found.endpoint.stop()
        await phone.close()


async def caller(seed: int = 1, events: bool = True) -> Phone:
    return await Phone(sound=noise(seed, 2.0), events=events).open()


def run(work: Awaitable[None]) -> None:
    async def main() -> None:
        await work

    asyncio.run(main())
