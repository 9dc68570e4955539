"""Follows the gateway's live state over its WebSocket, and tells at once when it is not heard any more."""

from __future__ import annotations

import json
from collections.abc import Callable
from threading import Event

from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.sync.client import connect

from gateway.hotkey.asking import Gateway, call_of
from gateway.hotkey.desk import FAULTS, Call

SILENCE_SECONDS = 2.5  # the gateway speaks every second
RETRY_SECONDS = (0.5, 1.0, 2.0, 4.0, 8.0)
DENIED = 4401  # how the WebSocket says 401
LONGEST_MESSAGE = 1 << 20  # octets; a call takes some three hundred


def follow(
    gateway: Gateway,
    extension: str,
    heard: Callable[[tuple[Call, ...]], None],
    lost: Callable[[str], None],
    stop: Event,
) -> None:
    """Until `stop`; `lost` gets a sentence where there is something to say."""
    failures = 0

    def tell(calls: tuple[Call, ...]) -> None:
        nonlocal failures
        failures = 0
        heard(calls)

    while not stop.is_set():
        why = _watch(gateway, extension, tell, stop)
        if stop.is_set():
            return
        lost(why)
        stop.wait(RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)])
        failures += 1


def _watch(gateway: Gateway, extension: str, tell: Callable[[tuple[Call, ...]], None], stop: Event) -> str:
    """One connection, until it is lost; gives why, where that is more than silence."""
    hello = {"token": gateway.token} | ({"extension": extension} if extension else {})
    try:
        with connect(
            gateway.live,
            ssl=gateway.tls,
            proxy=None,
            compression=None,
            open_timeout=SILENCE_SECONDS,
            close_timeout=0.2,
            ping_interval=None,
            max_size=LONGEST_MESSAGE,
        ) as socket:
            socket.send(json.dumps(hello))
            while not stop.is_set():
                said = json.loads(socket.recv(timeout=SILENCE_SECONDS))
                if said.get("type") == "calls":
                    tell(tuple(map(call_of, said["calls"])))
    except ConnectionClosed as closed:
        if closed.rcvd and closed.rcvd.code >= 4000:
            return FAULTS["denied"] if closed.rcvd.code == DENIED else closed.rcvd.reason
    except (OSError, WebSocketException, ValueError, TypeError, KeyError, AttributeError):
        pass  # not reached, silent, or speaking of something else: in each case nothing is known
    return ""
