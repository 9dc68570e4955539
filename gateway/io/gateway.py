"""The control process: puts the parts together, starts them in order, stops them in order."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack

from gateway.codecs.registry import supported
from gateway.config.settings import Settings
from gateway.config.sip import SipSettings
from gateway.console.server import ApiFault, serving
from gateway.io.admission import Admission
from gateway.io.agents import AgentsFault, AgentsFile
from gateway.io.analysis import Analysis
from gateway.io.calls import Calls
from gateway.io.credentials import CredentialsFault
from gateway.io.cutting import Cutting
from gateway.io.endpoint import EndpointFault
from gateway.io.endpoint_taps import taps_of
from gateway.io.jobs import Notices
from gateway.io.metrics import Metrics
from gateway.io.references import ReferenceFault, read_notices
from gateway.io.ring import TapFault
from gateway.io.room import MEGABYTE
from gateway.io.secrecy import refuse_dumps
from gateway.io.sip import SipServer
from gateway.io.starting import CannotStart, configure_of, numbers_of
from gateway.io.stock import watch_holdings
from gateway.io.store import Store
from gateway.io.supervisor import WorkerFailed
from gateway.io.taps import Taps
from gateway.io.tls import TlsError
from gateway.io.trunks import Trunks
from gateway.io.workers import Workers, count_workers
from gateway.sip.session_timer import Policy
from gateway.siprec.session import RecordingServer
from gateway.siprec.wishes import wishes
from gateway.storage.index import Index
from gateway.storage.keys import KeyPaths, VaultPublicKey, load_recorder
from gateway.storage.recovery import recover
from gateway.storage.vault import Vault

log = logging.getLogger(__name__)

CUTTING_SECONDS = 5.0  # how long calls that ended may still be cut when the gateway is stopped
ANALYSIS_SECONDS = 3.0  # how long the speech of calls that ended may still be measured then
STOP_SECONDS = 10.0  # how long running calls may take to be stored when the gateway is stopped
NS = 1_000_000_000


def serve(settings: Settings) -> int:
    """Record until SIGTERM or SIGINT. Raises CannotStart and the errors of the storage."""
    refuse_dumps()
    vault = Vault(settings.storage.directory, sync=False)
    with vault.exclusive():
        keys = load_recorder(KeyPaths.of(settings))
        with Index.open(vault.index_path) as index:
            recovered = recover(Vault(vault.directory), index, keys.node)
            for found in recovered:
                log.warning("call %s of an earlier run: %s", found.call_id, found.what)
        with Index.open(vault.index_path, sync=False) as index:
            asyncio.run(_run(settings, Store(vault, index, keys), keys.vault, len(recovered)))
    return 0


async def _run(settings: Settings, store: Store, key: VaultPublicKey, recovered: int) -> None:
    orders = Orders()
    admission = _admission(settings.sip)
    orders.listen(admission.reload)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(store.close)
        count = count_workers(settings.media)
        metrics = Metrics(count)
        metrics.recovered.set(recovered)
        analysis = Analysis(store, metrics, settings.speech.measure, _notices(settings))
        stack.push_async_callback(analysis.stop, ANALYSIS_SECONDS)
        cutting = Cutting(store, metrics, analysis.submit)
        stack.push_async_callback(cutting.stop, CUTTING_SECONDS)
        numbers = numbers_of(settings, store, metrics)
        calls = Calls(
            settings,
            store,
            metrics,
            count,
            tell=lambda worker, command, sockets: workers.tell(worker, command, sockets),
            settled=cutting.submit,
            listed=numbers.code,
        )
        progress = calls.progress
        taps = _taps(settings, count, metrics, stack)
        trunks = Trunks(
            settings.endpoints(), len(settings.taps()), supported, metrics.endpoint, calls.tapped.tell
        )
        calls.tapped.end_silent = trunks.hang_up
        progress.overheard = [taps.hear, calls.tapped.hear]
        workers = Workers(configure_of(settings, count), count, progress, taps.attached)
        stack.push_async_callback(workers.stop)
        try:
            await workers.start()
        except WorkerFailed as error:
            raise CannotStart(str(error)) from error
        machine = RecordingServer(
            supported=supported,
            token=lambda: secrets.token_hex(8),
            max_message_bytes=settings.sip.max_message_bytes,
            max_sessions=settings.media.max_calls,
            access=admission.access,
            session_policy=Policy(settings.sip.session_seconds, settings.sip.min_session_seconds),
            wish=wishes(settings.optout.off_headers, settings.optout.on_headers),
        )
        calls.sip = SipServer(
            machine,
            settings.sip,
            calls.hear,
            lambda kind: metrics.refused.labels(kind).inc(),
            admission.tls,
        )
        await _listen(settings, store, metrics, calls.sip, stack)
        await _serve_api(settings, calls, metrics, stack)
        await _answer(trunks, stack)
        chores = (
            progress.checkpoint_forever(),
            calls.watch_load_forever(),
            calls.alarms.watch_forever(),
            admission.watch_forever(),
            taps.watch_forever(),
            calls.tapped.expire_forever(),
            watch_holdings(store.vault, KeyPaths.of(settings), key, metrics.storage),
        )
        tasks = [asyncio.create_task(chore) for chore in chores]
        log.info("ready: %s, media workers: %d", _addresses(settings), count)
        await orders.drain.wait()
        if not orders.stop.is_set():
            await _drain(calls, trunks, orders.stop, settings.load.drain_seconds)
        log.info("stopping: %d calls are ended", calls.running())
        for task in tasks:
            task.cancel()
        await trunks.stop()
        await calls.stop(STOP_SECONDS)


class Orders:
    """What signals ask for: SIGTERM to drain, and once more to stop; SIGINT to stop; SIGHUP to read files again."""

    def __init__(self) -> None:
        self.drain, self.stop = asyncio.Event(), asyncio.Event()

    def listen(self, reload: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._terminate)
        loop.add_signal_handler(signal.SIGINT, self._interrupt)
        loop.add_signal_handler(signal.SIGHUP, reload)

    def _terminate(self) -> None:
        (self.stop if self.drain.is_set() else self.drain).set()

    def _interrupt(self) -> None:
        self.stop.set()
        self.drain.set()


async def _drain(calls: Calls, trunks: Trunks, stop: asyncio.Event, seconds: float) -> None:
    """Wait for the last call, another order, or the limit."""
    if running := max(calls.running(), trunks.running()):
        log.info("draining: %d calls run on for up to %.0f s, new ones are refused", running, seconds)

    async def drained() -> None:
        await asyncio.gather(trunks.drain(), calls.drain())
        await calls.drain()  # of those that the endpoint ended last

    waits = [asyncio.create_task(drained()), asyncio.create_task(stop.wait())]
    await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
    await asyncio.gather(*waits, return_exceptions=True)


def _notices(settings: Settings) -> Notices:
    try:
        return read_notices(settings.notice)
    except ReferenceFault as fault:
        raise CannotStart(str(fault)) from fault


def _taps(settings: Settings, workers: int, metrics: Metrics, stack: AsyncExitStack) -> Taps:
    try:
        taps = Taps(taps_of(settings), workers, metrics.tap, settings.metrics.expected)
    except TapFault as error:
        raise CannotStart(str(error)) from error
    stack.callback(taps.close)
    return taps


async def _answer(trunks: Trunks, stack: AsyncExitStack) -> None:
    stack.push_async_callback(trunks.stop)
    try:
        await trunks.start()
    except EndpointFault as error:
        raise CannotStart(str(error)) from error


def _admission(settings: SipSettings) -> Admission:
    try:
        return Admission(settings, lambda: secrets.token_hex(8))
    except (TlsError, CredentialsFault) as error:
        raise CannotStart(f"SIP cannot be served: {error}") from error


async def _listen(
    settings: Settings, store: Store, metrics: Metrics, sip: SipServer, stack: AsyncExitStack
) -> None:
    """Open the ports, metrics first: who sees them answer knows that calls are taken next."""
    if settings.metrics.port:
        try:
            reserve = settings.storage.min_free_megabytes * MEGABYTE
            server = metrics.serve(settings.metrics, store.vault.free_bytes, reserve)
        except OSError as error:
            place = f"{settings.metrics.address}:{settings.metrics.port}"
            raise CannotStart(f"metrics cannot be served on {place}: {error.strerror}") from error
        stack.callback(server.server_close)
        stack.callback(server.shutdown)
    try:
        await sip.start()
    except OSError as error:
        place = f"{settings.sip.address}:{settings.sip.port}"
        if settings.sip.tls.certificate:
            place += f" and {settings.sip.tls.port}"
        raise CannotStart(f"SIP cannot be served on {place}: {os.strerror(error.errno or 0)}") from error
    stack.callback(sip.close)


async def _serve_api(settings: Settings, calls: Calls, metrics: Metrics, stack: AsyncExitStack) -> None:
    if not settings.api.port:
        return
    try:
        agents = AgentsFile(settings.agents_path())
        await stack.enter_async_context(serving(settings.api, calls.controls, agents, metrics.registry))
    except (ApiFault, AgentsFault) as error:
        raise CannotStart(str(error)) from error


def _addresses(settings: Settings) -> str:
    sip, api, metrics = settings.sip, settings.api, settings.metrics
    scraped = f"metrics http://{metrics.address}:{metrics.port}/metrics" if metrics.port else "no metrics"
    scheme = "https" if api.certificate else "http"
    asked = f"API {scheme}://{api.address}:{api.port}/agent" if api.port else "no API"
    secure = f", {sip.tls.port} TLS" if sip.tls.certificate else ""
    return f"SIP {sip.address}:{sip.port} UDP and TCP{secure}, {asked}, {scraped}"
