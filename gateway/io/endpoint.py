"""The endpoint on the trunk as control has it: the forwarder, the pool of processes, and the calls they tell of."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import secrets
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from importlib.util import find_spec
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.config.endpoint import CALLS_EACH, PORTS_EACH, EndpointSettings
from gateway.endpoint.effects import Hop
from gateway.endpoint.front import Forwarder
from gateway.endpoint.messages import (
    Arrived,
    Cause,
    Configure,
    Connected,
    Described,
    FromProcess,
    Over,
    Ready,
    Registered,
    Side,
)
from gateway.endpoint.referring import Referring
from gateway.io.front import Front
from gateway.io.seats import Seat, SeatFailed
from gateway.io.sounds import NoticeFault, make_notice, make_tones
from gateway.sip.access import AllowList
from gateway.sip.headers import bracketed
from gateway.sip.message import Request, Response
from gateway.storage.files import PrivateFileFault, read_private

if TYPE_CHECKING:
    from gateway.io.names import Names

log = logging.getLogger(__name__)

MODULE = "pjsua2"
PACKAGES = {MODULE: "pjsua2", "dns": "dnspython"}  # what the extra installs, by what is imported
AWAY = (408, 503)  # what pjsip says of a registrar that does not answer, RFC 3263 section 4.3
VARIABLE = "HUSHTAP_TRUNK_PASSWORD"
RENEW_SECONDS = 1.0  # after a lost connection, so that a registrar that closes each at once is not flooded
MAX_PASSWORD_BYTES = 1024
MAX_DESCRIPTIONS = 1024  # kept; the legs of all calls that one endpoint may have are fewer

MAX_INVITES = 256  # kept until the process tells of the call, at once; a few more than calls may be


class EndpointFault(Exception):
    """The endpoint cannot take calls; the text is one sentence."""


class Endpoint:
    """`hear` is told what the calls do, `drop` what SIP was not forwarded, by kind, `registered` whether the registrar knows
    us, and `pool` how many processes take calls, and whether one has just died."""

    def __init__(
        self,
        settings: EndpointSettings,
        hear: Callable[[FromProcess], None],
        drop: Callable[[str], None],
        registered: Callable[[bool], None],
        pool: Callable[[int, bool], None] = lambda processes, died: None,
    ) -> None:
        self._settings = settings
        self._hear, self._drop, self._registered, self._pool = hear, drop, registered, pool
        self._folder = tempfile.TemporaryDirectory(prefix="hushtap-endpoint-")
        self._lock = os.open(self._folder.name, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(
            self._lock, fcntl.LOCK_SH
        )  # what clears old files away, as systemd-tmpfiles does, passes it over
        self._seats: list[Seat] = []
        self._takes: set[int] = set()  # numbers of processes that take calls now
        self.calls: dict[str, int] = {}  # that are not over, and the process of each
        self._sdp: OrderedDict[str, str] = OrderedDict()  # the newest description of a leg, by its Call-ID
        self._invites: OrderedDict[str, Request] = (
            OrderedDict()
        )  # by which calls came that are not told of yet
        self._answers: OrderedDict[str, Response] = OrderedDict()  # to calls of ours that are not told of yet
        self._legs: dict[str, Described] = {}  # of calls that are not over
        self._known = False  # to the registrar
        self._draining = self._stopping = False
        self._front: Front | None = None
        self.notice_seconds = 0.0

    @property
    def pids(self) -> list[int | None]:
        return [seat.pid for seat in self._seats]

    def load(self, number: int) -> int:
        """Calls that a process has."""
        return self._front.forwarder.load(number) if self._front else 0

    def seat_of(self, call: str) -> int | None:
        """The process that has a call."""
        return self.calls.get(call)

    def takes(self, number: int) -> bool:
        """Whether a process takes calls now."""
        return number in self._takes

    async def start(self) -> None:
        """Make the notice, open the ports, start the processes. Raises EndpointFault."""
        settings = self._settings
        self._check_installed()
        from gateway.io.names import Names

        password = read_password(settings, os.environ)
        folder = Path(self._folder.name)
        try:
            notice, self.notice_seconds = await asyncio.to_thread(make_notice, settings, folder)
            ringing, busy = await asyncio.to_thread(make_tones, folder)
        except NoticeFault as error:
            raise EndpointFault(str(error)) from error
        hosts = (settings.registrar, settings.proxy, _host_of(destination(settings)))
        places = [_split(host) for host in hosts if host]
        names = Names(settings.name_servers, [host for host, _ in places])
        await self._find(names, places)
        allowed = AllowList([ip_network(peer) for peer in settings.peers])
        front = Front(
            settings.address,
            settings.port,
            lambda host: host in allowed or names.holds(host),
            self._drop,
            self._describe,
            self._invited,
            self._answered,
            self._refer,
            names,
        )
        try:
            inside = await front.start()
        except OSError as error:
            place = f"{settings.address}:{settings.port}"
            raise EndpointFault(
                f"the endpoint cannot listen on {place}: {os.strerror(error.errno or 0)}"
            ) from error
        self._front = front
        front.forwarder = self._forwarder(inside, password)
        if settings.register_here:
            front.trunk = Hop(settings.transport, *_split(settings.proxy or settings.registrar))
            front.cut = self._cut
        sounds = (str(notice) if notice else "", str(ringing), str(busy))
        for number in range(settings.processes()):
            configure = self._configure(number, inside, password, sounds)
            self._seats.append(Seat(number, configure, self._heard, self._lost))
        started = await asyncio.gather(*(seat.start() for seat in self._seats), return_exceptions=True)
        for failed in started:
            if isinstance(failed, SeatFailed):
                raise EndpointFault(str(failed)) from failed
            if failed is not None:
                raise failed

    def hang_up(self, call: str) -> None:
        """End a call, both legs."""
        number = self.calls.get(call)
        if number is not None:
            self._seats[number].hang_up(call)

    def drain(self) -> None:
        """Take no call any more."""
        self._draining = True

    async def stop(self) -> None:
        """End all calls and the registration; once more it does nothing."""
        if self._stopping:
            return
        self._stopping = True
        await asyncio.gather(*(seat.stop() for seat in self._seats))
        if self._front:
            self._front.close()
        os.close(self._lock)
        self._folder.cleanup()

    def _check_installed(self) -> None:
        for module, package in PACKAGES.items():
            if find_spec(module) is None:
                raise EndpointFault(
                    f"the endpoint needs {package}, which is not installed: install hushtap with the extra `endpoint`"
                )

    async def _find(self, names: Names, places: list[tuple[str, int | None]]) -> None:
        """Where the trunk and the practice's phone are: from there SIP may come."""
        for host, port in places:
            try:
                await names.find(host, port, self._settings.transport)
            except OSError:
                log.warning("no address is known of %s yet: it may send nothing until there is", host)

    def _forwarder(self, inside: tuple[str, int], password: str) -> Forwarder:
        settings = self._settings
        here = Hop(settings.transport, settings.public_address or settings.address, settings.port)
        proxies = {
            settings.registrar.lower(): Hop(settings.transport, *_split(settings.proxy or settings.registrar))
        }
        return Forwarder(
            here, inside, self._choose, secrets.token_hex(16), proxies, password, self._referring()
        )

    def _referring(self) -> Referring | None:
        """Calls are handed on within the practice's own telephone system; on the trunk that would be calls at its cost."""
        settings = self._settings
        place = _host_of(destination(settings))
        trunks = {_split(each)[0].lower() for each in (settings.registrar, settings.proxy) if each}
        if not settings.transfers or _split(place)[0].lower() in trunks:
            return None
        peers = AllowList([ip_network(peer) for peer in settings.peers])
        tail = ";transport=tcp" if ";transport=tcp" in destination(settings).lower() else ""
        ours = settings.public_address or settings.address, settings.port
        return Referring(place, ours, tail, lambda host: host in peers)

    def _choose(self) -> int | None:
        """The process with the fewest calls of those that have room; all together have no more than was set."""
        if self._draining:
            return None
        loads = {number: self.load(number) for number in sorted(self._takes)}
        if sum(loads.values()) >= self._settings.calls:
            return None
        number = min(loads, key=lambda each: loads[each], default=None)
        return number if number is not None and loads[number] < CALLS_EACH else None

    def _configure(
        self, number: int, inside: tuple[str, int], password: str, sounds: tuple[str, str, str]
    ) -> Configure:
        settings = self._settings
        host = bracketed(settings.public_address or settings.address)
        transport = ";transport=tcp" if settings.transport == "tcp" else ""
        return Configure(
            front=f"{inside[0]}:{inside[1]}",
            contact=f"<sip:{settings.user}@{host}:{settings.port}{transport}>",
            identity=f"sip:{settings.user}@{settings.registrar}",
            registrar=f"sip:{settings.registrar}" if number == 0 and settings.register_here else "",
            expires_seconds=settings.expires_seconds,
            user=(settings.auth_user or settings.user) if password else "",
            password=password,
            realm=settings.realm,
            destination=destination(settings),
            shown=settings.show_caller,
            media_address=settings.public_address or settings.address,
            bound_address=settings.address,
            first_port=settings.first_rtp_port + number * PORTS_EACH,
            ports=PORTS_EACH,
            notice=sounds[0],
            ringing=sounds[1],
            busy=sounds[2],
            ring_seconds=settings.ring_seconds,
            busy_seconds=settings.busy_seconds,
            answer_late=settings.answer == "when_connected",
            notice_required=settings.notice_required,
        )

    def _heard(self, number: int, message: FromProcess) -> None:
        assert self._front
        match message:
            case Ready(port):
                self._takes.add(number)
                self._front.seat(number, port)
                self._pool(len(self._takes), False)
                return
            case Registered(status):
                if status in AWAY and (trunk := self._front.trunk):
                    self._front.names.failed(trunk.host, trunk.port, trunk.transport)
                self._tell_registration(status < 300)
                return
            case Arrived(call):
                self.calls[call] = number
                message = replace(message, invite=self._invites.pop(call, None))
            case Connected(leg=leg, side=Side.CALLEE):
                message = replace(message, answer=self._answers.pop(leg, None))
            case Described(leg=leg):
                self._legs[leg] = message
                message = replace(message, sdp=self._sdp.get(leg, ""))
            case Over(call):
                self._front.forwarder.over(call)
                self._forget(call)
        self._hear(message)

    def _describe(self, leg: str, sdp: str) -> None:
        """A process's description went by; it may be seen after the process has told that it holds."""
        self._sdp[leg] = sdp
        self._sdp.move_to_end(leg)
        if len(self._sdp) > MAX_DESCRIPTIONS:
            self._sdp.popitem(last=False)
        if told := self._legs.get(leg):
            self._hear(replace(told, sdp=sdp))

    def _invited(self, call: str, invite: Request) -> None:
        self._invites[call] = invite
        if len(self._invites) > MAX_INVITES:
            self._invites.popitem(last=False)

    def _refer(self, leg: str, target: str) -> None:
        told = self._legs.get(leg)
        if told and (number := self.calls.get(told.call)) is not None:
            self._seats[number].transfer(told.call, target)

    def _answered(self, answer: Response) -> None:
        self._answers[answer.headers.get("Call-ID") or ""] = answer
        if len(self._answers) > MAX_INVITES:
            self._answers.popitem(last=False)

    def _forget(self, call: str) -> None:
        self.calls.pop(call, None)
        for leg in [leg for leg, told in self._legs.items() if told.call == call]:
            del self._legs[leg]
            self._sdp.pop(leg, None)

    def _lost(self, number: int) -> None:
        """A process is gone: its calls are over, no other is."""
        assert self._front
        self._takes.discard(number)
        self._pool(len(self._takes), not self._stopping)
        self._front.seat(number, None)
        self._front.act(self._front.forwarder.seat_lost(number))
        now = asyncio.get_running_loop().time()
        for call in [name for name, taken in self.calls.items() if taken == number]:
            self._forget(call)
            self._hear(Over(call, round(now * 1e9), Cause.FAILED))

    def _cut(self) -> None:
        """The trunk cannot reach us until we register over a new connection."""
        if not self._stopping:
            asyncio.get_running_loop().call_later(RENEW_SECONDS, self._seats[0].renew)

    def _tell_registration(self, known: bool) -> None:
        if known is not self._known:
            say = log.info if known else log.error
            say(
                "attachment %s: %s",
                self._settings.name,
                "registered" if known else "the registration was refused",
            )
        self._known = known
        self._registered(known)


def read_password(settings: EndpointSettings, environment: Mapping[str, str]) -> str:
    """Of the file, else of the environment, else none. Raises EndpointFault."""
    path = settings.password_file
    if path is None:
        return environment.get(VARIABLE, "")
    try:
        data = read_private(path, MAX_PASSWORD_BYTES)
    except OSError as error:
        raise EndpointFault(f"{path}: {os.strerror(error.errno or 0)}") from error
    except PrivateFileFault as error:
        raise EndpointFault(str(error)) from error
    with suppress(UnicodeDecodeError):
        return data.decode("utf-8").strip("\r\n")
    raise EndpointFault(f"{path}: is not UTF-8 text")


def destination(settings: EndpointSettings) -> str:
    """The practice's number as a URI."""
    text = settings.destination
    if text.startswith("sip:"):
        return text
    return f"sip:{text}" if "@" in text else f"sip:{text.replace('#', '%23')}@{settings.registrar}"


def _host_of(uri: str) -> str:
    return uri.removeprefix("sip:").rpartition("@")[2].partition(";")[0]


def _split(place: str) -> tuple[str, int | None]:
    """Host and port of `host`, `host:port` or `[v6]:port`."""
    if place.startswith("["):
        host, _, port = place[1:].partition("]")
        return host, int(port[1:]) if port else None
    host, _, port = place.partition(":")
    return host, int(port) if port else None
