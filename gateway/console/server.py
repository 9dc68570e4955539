"""The API's port: uvicorn in the control process's event loop, under limits of our own."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp

from gateway.config.api import ApiSettings
from gateway.config.sip import TlsSettings
from gateway.console.app import make_app
from gateway.console.connections import Doorman, Doors, Http, Socket
from gateway.console.faults import place_of
from gateway.console.gate import Agents, Clock
from gateway.console.meters import Meters
from gateway.io.tls import TlsError, TlsFiles
from gateway.recording.control import Controls

log = logging.getLogger(__name__)

MAX_HEAD_BYTES = 16_384  # of a request; what a browser sends takes some thousand
MAX_MESSAGE_BYTES = 4096  # of a WebSocket; a token takes fifty
BACKLOG = 256  # connections not yet taken: the loop takes them every few milliseconds
IDLE_SECONDS = 30  # a connection is kept so long between two requests
PING_SECONDS = 10.0
STOP_SECONDS = 2  # requests under way are answered in this time when the gateway stops
UNREACHED_SECONDS = 20  # a peer that acknowledges nothing for so long is gone
LOOK_SECONDS = 5.0  # between two looks whether the certificate has changed


class ApiFault(Exception):
    """The API cannot be served; the text is one sentence."""


class _Server(uvicorn.Server):
    """Leaves signals to the gateway, accepts at a doorman's, and says when it has begun."""

    def __init__(self, config: uvicorn.Config, doors: Doors, context: ssl.SSLContext | None) -> None:
        super().__init__(config)
        self._doors, self._context = doors, context
        self.ready = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        assert sockets
        self.servers = [
            await asyncio.get_running_loop().create_server(
                lambda: Doorman(self._doors, self._http, self._context), sock=each, backlog=BACKLOG
            )
            for each in sockets
        ]
        self.started = True
        self.ready.set()

    def _http(self) -> Http:
        return Http(config=self.config, server_state=self.server_state, app_state={})


@asynccontextmanager
async def serving(
    settings: ApiSettings, controls: Controls, agents: Agents, registry: CollectorRegistry
) -> AsyncIterator[int]:
    """Answers while the context lasts; gives the port. Raises ApiFault."""
    tls = _tls(settings)
    context = tls.context if tls else None
    meters = Meters(registry)
    app, broadcast = make_app(controls, agents, settings, meters, Clock(time.monotonic, time.time_ns))
    server = _Server(_config(app), Doors(settings, meters), context)
    listener = _listen(settings)
    tasks = [asyncio.create_task(server.serve(sockets=[listener])), asyncio.create_task(broadcast.run())]
    if tls:
        tasks.append(asyncio.create_task(_renew(tls, settings)))
    for task in tasks:
        task.add_done_callback(_say)
    await server.ready.wait()
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        for task in tasks[1:]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _config(app: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=Http,
        ws=Socket,
        ws_max_size=MAX_MESSAGE_BYTES,
        ws_ping_interval=PING_SECONDS,
        ws_ping_timeout=PING_SECONDS,
        ws_per_message_deflate=False,  # memory of every connection, for messages of some hundred octets
        h11_max_incomplete_event_size=MAX_HEAD_BYTES,
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=STOP_SECONDS,
        lifespan="off",
        log_config=None,
        log_level="error",  # below it are addresses and queries
        access_log=False,
        proxy_headers=False,
        server_header=False,
    )


def _listen(settings: ApiSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.address else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREACHED_SECONDS * 1000)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.bind((settings.address, settings.port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        why = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        raise ApiFault(f"the API cannot be served on {settings.address}:{settings.port}: {why}") from error
    return listener


def _tls(settings: ApiSettings) -> TlsFiles | None:
    if settings.certificate is None:
        return None
    try:
        return TlsFiles(TlsSettings(certificate=settings.certificate, key=settings.key))
    except TlsError as error:
        raise ApiFault(f"the API cannot be served: {error}") from error


async def _renew(tls: TlsFiles, settings: ApiSettings) -> None:
    """Takes a certificate that changed, for connections from then on."""
    serving = tls.context
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        if tls.changed():
            try:
                tls.reload()  # checks the files, in a context of their own
                assert settings.certificate
                serving.load_cert_chain(settings.certificate, settings.key)
            except (TlsError, ssl.SSLError, OSError) as error:
                log.error("API certificate: kept as before: %s", error)
            else:
                log.info("API certificate: read again")


def _say(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        log.error("the API stopped: %s", place_of(error))
