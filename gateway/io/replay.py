"""A replay from its first octet to the last stored call: puts the parts together as the gateway does, without network."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, replace

from gateway.config.attach import TapSettings
from gateway.config.settings import Settings
from gateway.io.analysis import Analysis
from gateway.io.calls import Calls
from gateway.io.captures import CaptureFile, Captures
from gateway.io.clock import CaptureClock, following
from gateway.io.cutting import Cutting
from gateway.io.flush import FlushedAtTheEnd
from gateway.io.metrics import Metrics
from gateway.io.replaying import TAP, TICK_NS, Replaying, ReplayWorker
from gateway.io.secrecy import lock_memory, refuse_dumps
from gateway.io.starting import configure_of, numbers_of
from gateway.io.store import Store
from gateway.recording.model import CallFacts
from gateway.storage.index import Index
from gateway.storage.keys import KeyPaths, RecorderKeys, load_recorder
from gateway.storage.recovery import recover
from gateway.storage.vault import Vault
from gateway.tap.flows import Limits

AFTERWARDS_SECONDS = 3600.0  # how long cutting and measuring of the calls may take when all are stored
MAX_MEASURING = 100  # calls that may wait to be cut or measured before the replay waits for them
MAX_CALLS = (
    4000  # at once; a capture's calls are refused for memory alone, not for what this machine could do live
)
UNFOLLOWED = "hushtap_tap_unfollowed_total"
UNLISTED = "hushtap_tap_unexplained_calls_total"
NS = 1_000_000_000
MEGABYTE = 1 << 20
# What a caller is played before anybody answers may never be told of but by the answer.
EARLY_NS = 180 * NS
EARLY_MEGABYTES = 64
ALONE_NS = NS  # of a capture all signalling is there: audio without any need not go on for long to be a call


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay came to."""

    calls: tuple[str, ...]  # ids, in the order in which they began
    packets: int
    messages: int  # of SIP
    capture_ns: int  # from the first packet to the last
    took_ns: int  # until all calls were stored; their speech may be measured for longer
    refused: Mapping[str, int]  # frames that gave nothing, by kind
    unheard: Mapping[str, int]  # what of telephony could not be followed, by kind
    unlisted: int  # calls that were not recorded and have no record, being too many in one minute
    interrupted: bool


class _NotingStore(Store):
    """Notes which calls there were."""

    def __init__(self, vault: Vault, index: Index, keys: RecorderKeys) -> None:
        super().__init__(vault, index, keys, FlushedAtTheEnd(vault.directory))
        self.began: dict[str, int] = {}

    async def put(self, facts: CallFacts) -> None:
        await super().put(facts)
        self.began[facts.id] = facts.started_ns


def replay(settings: Settings, files: Sequence[CaptureFile], report: Callable[[int, int], None]) -> Replayed:
    """Record what the captures hold. Raises CannotStart and the errors of the storage."""
    refuse_dumps()
    lock_memory()
    settings = _as_tap(settings)
    vault = Vault(settings.storage.directory, sync=False)
    with vault.exclusive():
        keys = load_recorder(KeyPaths.of(settings))
        with Index.open(vault.index_path) as index:
            recover(Vault(vault.directory), index, keys.node)
        with Index.open(vault.index_path, sync=False) as index:
            clock = CaptureClock()
            with following(clock):
                return asyncio.run(
                    _run(settings, _NotingStore(vault, index, keys), Captures(files, report), clock)
                )


def _as_tap(settings: Settings) -> Settings:
    """The settings with one tap: the first that is configured, else one with all defaults."""
    taps = settings.taps() or (TapSettings(kind="tap", interfaces=("capture",)),)
    media = settings.media.model_copy(update={"max_calls": MAX_CALLS})
    return settings.model_copy(update={"attach": taps[:1], "media": media})


async def _run(settings: Settings, store: _NotingStore, captures: Captures, clock: CaptureClock) -> Replayed:
    began = time.monotonic_ns()
    tap = settings.taps()[TAP]
    async with AsyncExitStack() as stack:
        stack.push_async_callback(store.close)
        metrics = Metrics(1)
        analysis = Analysis(store, metrics, settings.speech.measure)
        stack.push_async_callback(analysis.stop, AFTERWARDS_SECONDS)
        cutting = Cutting(store, metrics, analysis.submit)
        stack.push_async_callback(cutting.stop, AFTERWARDS_SECONDS)
        configure = configure_of(settings, 1)
        configure = replace(configure, engine=replace(configure.engine, tick_ns=TICK_NS))
        early_ns = max(round(tap.early_seconds * NS), EARLY_NS)
        early_bytes = max(tap.early_megabytes, EARLY_MEGABYTES) * MEGABYTE
        limits = Limits(early_ns, early_bytes, ALONE_NS, one_way=True)
        worker = ReplayWorker(configure, limits, clock)
        stack.callback(worker.close)
        listed = numbers_of(settings, store, metrics).code
        calls = Calls(settings, store, metrics, 1, worker.tell, cutting.submit, listed)
        worker.hear = lambda message: calls.progress.heard(0, message)
        replaying = Replaying(calls, worker, frozenset((*tap.sip_ports, *tap.tls_ports)), clock)
        with _interruptible(captures) as interrupted:
            async for frames in captures.read():
                await replaying.hear(frames)
                while max(analysis.waiting, cutting.waiting) > MAX_MEASURING:
                    await asyncio.sleep(0.05)
        capture_ns = replaying.latest_ns - (replaying.began_ns or 0)
        await replaying.finish()
        took_ns = time.monotonic_ns() - began
    ids = sorted(store.began, key=lambda call_id: (store.began[call_id], call_id))
    return Replayed(
        calls=tuple(ids),
        packets=replaying.packets,
        messages=replaying.messages,
        capture_ns=capture_ns,
        took_ns=took_ns,
        refused=replaying.refused,
        unheard=_unfollowed(metrics),
        unlisted=int(metrics.registry.get_sample_value(UNLISTED) or 0),
        interrupted=bool(interrupted),
    )


def _unfollowed(metrics: Metrics) -> dict[str, int]:
    """What of telephony could not be followed, by kind."""
    samples = (sample for family in metrics.registry.collect() for sample in family.samples)
    return {
        sample.labels["kind"]: int(sample.value)
        for sample in samples
        if sample.name == UNFOLLOWED and sample.value
    }


@contextmanager
def _interruptible(captures: Captures) -> Iterator[list[bool]]:
    """SIGINT and SIGTERM end the reading, not the recording of what was read; gives whether one came."""
    loop, came = asyncio.get_running_loop(), list[bool]()

    def interrupt() -> None:
        came.append(True)
        captures.stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupt)
    try:
        yield came
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
