"""The control process: puts the parts together, starts them in order, stops them in order."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import signal
import sys
from contextlib import AsyncExitStack

from gateway.codecs.registry import supported
from gateway.config.settings import Settings
from gateway.io.analysis import Analysis
from gateway.io.calls import Calls
from gateway.io.channel import Configure
from gateway.io.metrics import Metrics
from gateway.io.secrecy import refuse_dumps
from gateway.io.sip import SipServer
from gateway.io.store import Store
from gateway.io.supervisor import Supervisor
from gateway.recording.engine import EngineSettings
from gateway.siprec.session import RecordingServer
from gateway.storage.index import Index
from gateway.storage.keys import KeyPaths, load_recorder
from gateway.storage.recovery import recover
from gateway.storage.vault import Vault

log = logging.getLogger(__name__)

ANALYSIS_SECONDS = 3.0  # how long the speech of calls that ended may still be measured then
STOP_SECONDS = 10.0  # how long running calls may take to be stored when the gateway is stopped
NS = 1_000_000_000


class CannotStart(Exception):
    """The gateway cannot begin to record; the text is one sentence that says why."""


def serve(settings: Settings) -> int:
    """Record until SIGTERM or SIGINT. Raises CannotStart and the errors of the storage."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    logging.getLogger("gateway").setLevel(settings.log.level.upper())
    refuse_dumps()
    vault = Vault(settings.storage.directory, sync=False)
    with vault.exclusive():
        keys = load_recorder(KeyPaths.of(settings))
        with Index.open(vault.index_path) as index:
            for found in recover(Vault(vault.directory), index, keys.node):
                log.warning("call %s of an earlier run: %s", found.call_id, found.what)
        with Index.open(vault.index_path, sync=False) as index:
            asyncio.run(_run(settings, Store(vault, index, keys)))
    return 0


async def _run(settings: Settings, store: Store) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(store.close)
        metrics = Metrics()
        analysis = Analysis(store, metrics, settings.speech.measure)
        stack.push_async_callback(analysis.stop, ANALYSIS_SECONDS)
        calls = Calls(
            settings,
            store,
            metrics,
            tell=lambda command, sockets: worker.send(command, sockets),
            settled=analysis.submit,
        )
        worker = Supervisor(_configure(settings), calls.heard, calls.worker_lost, calls.resume)
        await worker.start()
        stack.push_async_callback(worker.stop)
        machine = RecordingServer(
            supported=supported,
            token=lambda: secrets.token_hex(8),
            max_message_bytes=settings.sip.max_message_bytes,
            max_sessions=settings.media.max_calls,
        )
        calls.sip = SipServer(
            machine, settings.sip, calls.hear, lambda kind: metrics.refused.labels(kind).inc()
        )
        await _listen(settings, store, metrics, calls.sip, stack)
        checkpoints = asyncio.create_task(calls.checkpoint_forever())
        log.info("ready: %s", _addresses(settings))
        await stop.wait()
        log.info("stopping")
        checkpoints.cancel()
        await calls.stop(STOP_SECONDS)


async def _listen(
    settings: Settings, store: Store, metrics: Metrics, sip: SipServer, stack: AsyncExitStack
) -> None:
    """Open the ports, metrics first: who sees them answer knows that calls are taken next."""
    if settings.metrics.port:
        try:
            server = metrics.serve(settings.metrics, store.vault.free_bytes)
        except OSError as error:
            place = f"{settings.metrics.address}:{settings.metrics.port}"
            raise CannotStart(f"metrics cannot be served on {place}: {error.strerror}") from error
        stack.callback(server.server_close)
        stack.callback(server.shutdown)
    try:
        await sip.start()
    except OSError as error:
        place = f"{settings.sip.address}:{settings.sip.port}"
        raise CannotStart(f"SIP cannot be served on {place}: {os.strerror(error.errno or 0)}") from error
    stack.callback(sip.close)


def _configure(settings: Settings) -> Configure:
    media = settings.media
    # A call's legs are in use until its audio has drained, so for longer than the call.
    engine = EngineSettings(
        max_legs=2 * (media.max_calls + 64),
        hold_back_ns=round(media.hold_back_seconds * NS),
        timeout_ns=round(media.timeout_seconds * NS),
        tick_ns=media.tick_milliseconds * 1_000_000,
    )
    return Configure(engine, str(settings.storage.directory))


def _addresses(settings: Settings) -> str:
    sip, metrics = settings.sip, settings.metrics
    scraped = f"metrics http://{metrics.address}:{metrics.port}/metrics" if metrics.port else "no metrics"
    return f"SIP {sip.address}:{sip.port} UDP and TCP, {scraped}"
