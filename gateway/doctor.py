"""Can this machine record: facts about it weighed against what a number of calls needs.

`examine(machine, settings, calls)` gives one finding a check; a fault means recordings would be lost, refused or
readable by others, a warning that they might be. `capacity` says how many calls the machine can take.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from gateway.capacity import (
    CONTROL_BYTES,
    DESCRIPTORS_ALWAYS,
    DESCRIPTORS_PER_CALL,
    PORTS_PER_CALL,
    SOCKETS_PER_CALL,
    STORED_BYTES,
    WORKER_BYTES,
    Costs,
    Parts,
    bounds,
    call_bytes,
)
from gateway.config.settings import Settings
from gateway.config.sip import is_loopback
from gateway.io.machine import Machine, PortState
from gateway.recording.spread import calls_each, worker_count

RECEIVE_BUFFER = 212_992  # bytes; five seconds of one leg, so that a worker can be replaced without loss
SQLITE_OLDEST = (3, 51, 3)  # older ones can corrupt the index when its write-ahead log is reset
SECONDS_PER_DAY = 86_400


class Level(StrEnum):
    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class Finding:
    check: str
    level: Level
    found: str
    expected: str
    action: str = ""  # what to do about it; empty when all is well
    calls: int | None = None  # that the machine can take at once, where the check says so


def examine(machine: Machine, settings: Settings, calls: int) -> list[Finding]:
    """Every check once, in the order a person would set a machine up."""
    return [
        *_versions(machine),
        _workers(machine, settings),
        _open_files(machine, settings, calls),
        _memory(machine, settings, calls),
        _locked_memory(machine),
        *_taps(machine, settings),
        _receive_buffer(machine),
        _sip_port("UDP", machine.sip_udp, machine, settings),
        _sip_port("TCP", machine.sip_tcp, machine, settings),
        *_api(machine, settings),
        _rtp_ports(machine, settings, calls),
        _clock(machine),
        _disk(machine, settings, calls),
        _folder(machine),
        *_keys(machine, settings),
    ]


def capacity(
    machine: Machine, settings: Settings, calls: int, costs: Costs | None, why_not: str = ""
) -> Finding:
    """How many calls the machine can take, by what they cost on it; `why_not` says why there are no costs."""
    parts = Parts(
        cores=machine.cores,
        workers=worker_count(settings.media.workers, machine.cores),
        busy_share=settings.load.busy_percent / 100,
        memory=machine.memory,
        open_files=machine.open_files,
        other_files=settings.api.max_connections if settings.api.port else 0,
        ports=_usable_ports(machine),
        hold_back_seconds=settings.media.hold_back_seconds,
        link_bits=None if is_loopback(settings.sip.address) else machine.link_bits,
    )
    first, *others = bounds(parts, costs)
    number = _about(first.calls)
    later = f"; next {others[0].what}, at {_about(others[0].calls):,}" if others else ""
    found = f"can take about {number:,} calls: {first.what} end first{later}"
    found += f"; processor and disk left out: {why_not}" if costs is None else ""
    limit = settings.media.max_calls
    action = ""
    if number < calls:
        action = f"fewer calls, or more of what ends first; set media.max_calls to {number}, so that no call suffers"
    elif number < limit:
        action = f"media.max_calls is {limit:,}: set it to {number}"
    level = Level.WARNING if number < calls else Level.OK
    return Finding("capacity", level, found, f"{calls:,} calls", action, number)


def _about(number: int) -> int:
    """Two digits of it: more would promise what a short trial cannot hold."""
    step: int = 10 ** max(0, len(str(number)) - 2)
    return number // step * step


def _versions(machine: Machine) -> Iterator[Finding]:
    absent = [name for name, version in machine.libraries.items() if version is None]
    found = ", ".join(f"{name} {version or 'missing'}" for name, version in machine.libraries.items())
    yield Finding(
        "libraries",
        Level.FAULT if absent else Level.OK,
        f"Python {machine.python}, {found}",
        "all present",
        "install HushTap again, with its dependencies" if absent else "",
    )
    number = tuple(int(step) for step in (machine.sqlite or "0").split("."))
    good = number >= SQLITE_OLDEST
    yield Finding(
        "SQLite",
        Level.OK if good else Level.FAULT,
        machine.sqlite or "missing",
        f"{'.'.join(map(str, SQLITE_OLDEST))} or newer",
        "" if good else "install pysqlite3 0.6.1 or newer",
    )


def _workers(machine: Machine, settings: Settings) -> Finding:
    workers = worker_count(settings.media.workers, machine.cores)
    good = workers <= machine.cores
    return Finding(
        "media workers",
        Level.OK if good else Level.WARNING,
        f"{workers:,} on {machine.cores:,} cores",
        "one a core at most",
        "" if good else "set media.workers to 0: more workers than cores wait for each other",
    )


def _open_files(machine: Machine, settings: Settings, calls: int) -> Finding:
    """Of the process that needs the most: the control process, or a worker that has the calls of others, too."""
    asking = settings.api.max_connections if settings.api.port else 0
    each = calls_each(calls, worker_count(settings.media.workers, machine.cores))
    needed = DESCRIPTORS_ALWAYS + max(asking + SOCKETS_PER_CALL * calls, DESCRIPTORS_PER_CALL * each)
    most = machine.open_files
    good = most is None or most >= needed
    return Finding(
        "open files",
        Level.OK if good else Level.FAULT,
        "no limit" if most is None else f"{most:,} a process",
        f"{needed:,} for {calls:,} calls",
        "" if good else f"LimitNOFILE={needed} in the service, or `ulimit -Hn {needed}` before starting",
    )


def _memory(machine: Machine, settings: Settings, calls: int) -> Finding:
    workers = worker_count(settings.media.workers, machine.cores)
    waiting = call_bytes(settings.media.hold_back_seconds) * calls
    needed = CONTROL_BYTES + WORKER_BYTES * workers + round(waiting)
    most = machine.memory
    good = most is None or most >= needed
    return Finding(
        "memory",
        Level.OK if good else Level.FAULT,
        "unknown" if most is None else _bytes(most),
        f"{_bytes(needed)} for {calls:,} calls and {workers:,} media workers",
        "" if good else "more memory, fewer calls (media.max_calls), or a shorter media.hold_back_seconds",
    )


def _locked_memory(machine: Machine) -> Finding:
    """A limit, however high, is none the worker can live with: allocations beyond it would fail."""
    return Finding(
        "locked memory",
        Level.OK if machine.may_lock_memory else Level.WARNING,
        "no limit" if machine.may_lock_memory else "limited",
        "no limit",
        ""
        if machine.may_lock_memory
        else "audio held back could be swapped out: LimitMEMLOCK=infinity in the service",
    )


def _taps(machine: Machine, settings: Settings) -> Iterator[Finding]:
    if settings.taps():
        yield Finding(
            "taps",
            Level.OK if machine.may_listen else Level.FAULT,
            f"{len(settings.taps()):,}, {'with' if machine.may_listen else 'without'} the capability CAP_NET_RAW",
            "the capability CAP_NET_RAW",
            ""
            if machine.may_listen
            else "AmbientCapabilities=CAP_NET_RAW in the service: see docs/attach.md",
        )


def _receive_buffer(machine: Machine) -> Finding:
    most = machine.receive_buffer_max
    good = machine.receive_buffer >= RECEIVE_BUFFER and (most is None or most >= RECEIVE_BUFFER)
    found = f"{machine.receive_buffer:,} bytes (at most {'unknown' if most is None else f'{most:,}'})"
    return Finding(
        "receive buffer",
        Level.OK if good else Level.WARNING,
        found,
        f"{RECEIVE_BUFFER:,} bytes",
        ""
        if good
        else f"sysctl -w net.core.rmem_default={RECEIVE_BUFFER} net.core.rmem_max={RECEIVE_BUFFER}",
    )


def _sip_port(protocol: str, state: PortState, machine: Machine, settings: Settings) -> Finding:
    place = f"{protocol} {settings.sip.address} port {settings.sip.port}"
    return _port(f"SIP over {protocol}", place, "sip", state, machine)


def _port(check: str, place: str, section: str, state: PortState, machine: Machine) -> Finding:
    expected = "free, or held by a running gateway"
    match state:
        case PortState.FREE:
            return Finding(check, Level.OK, f"{place} is free", expected)
        case PortState.IN_USE if machine.gateway_running:
            return Finding(check, Level.OK, f"{place}: a gateway is running", expected)
        case PortState.IN_USE:
            action = f"stop the other program, or set {section}.port"
        case PortState.NOT_ALLOWED:
            action = f"ports below 1024 need the capability CAP_NET_BIND_SERVICE, or set {section}.port"
        case PortState.NO_SUCH_ADDRESS:
            action = f"set {section}.address to an address of this machine"
    return Finding(check, Level.FAULT, f"{place}: {state.value}", expected, action)


def _api(machine: Machine, settings: Settings) -> Iterator[Finding]:
    api = settings.api
    if machine.api is None:
        return
    yield _port("API", f"TCP {api.address} port {api.port}", "api", machine.api, machine)
    open_to_all = api.certificate is None and not is_loopback(api.address)
    yield Finding(
        "API over TLS",
        Level.WARNING if open_to_all else Level.OK,
        f"{'TLS' if api.certificate else 'plain HTTP'} on {api.address}",
        "TLS, or loopback alone",
        "set api.certificate and api.key: tokens can be overheard" if open_to_all else "",
    )
    if machine.agents is None:
        yield Finding("API tokens", Level.OK, "none yet; made by `hushtap agents add`", "mode 0600")
    else:
        yield _secret("API tokens", machine.agents)
    if machine.api_key is not None:
        yield _secret("API key", machine.api_key)


def _secret(check: str, mode: int) -> Finding:
    found, expected = f"mode {mode:04o}", "mode 0600"
    if mode & 0o077:
        return Finding(check, Level.FAULT, found, expected, "chmod 600, and think of who could have read it")
    return Finding(check, Level.OK, found, expected)


def _rtp_ports(machine: Machine, settings: Settings, calls: int) -> Finding:
    """Ports held by a running gateway are its own calls', so then only the size of the range counts."""
    room = _usable_ports(machine) // PORTS_PER_CALL
    return Finding(
        "RTP ports",
        Level.OK if room >= calls else Level.FAULT,
        f"{machine.rtp_ports_free:,} of {machine.rtp_ports:,} even ports free, room for {room:,} calls",
        f"room for {calls:,} calls in {settings.media.first_port} to {settings.media.last_port}",
        "" if room >= calls else "widen media.first_port to media.last_port, or free ports in it",
    )


def _usable_ports(machine: Machine) -> int:
    return machine.rtp_ports if machine.gateway_running else machine.rtp_ports_free


def _clock(machine: Machine) -> Finding:
    match machine.clock_synchronised:
        case True:
            return Finding("clock", Level.OK, "synchronised", "synchronised")
        case False:
            return Finding(
                "clock",
                Level.WARNING,
                "not synchronised",
                "synchronised",
                "run a time service: calls are labelled in UTC",
            )
        case None:
            return Finding(
                "clock",
                Level.WARNING,
                "unknown: the system does not say",
                "synchronised",
                "see that a time service runs",
            )


def _disk(machine: Machine, settings: Settings, calls: int) -> Finding:
    reserve = settings.storage.min_free_megabytes * 1_000_000
    days = max(machine.disk_free - reserve, 0) / (calls * STORED_BYTES * SECONDS_PER_DAY)
    level = Level.FAULT if machine.disk_free < reserve else Level.WARNING if days < 1 else Level.OK
    return Finding(
        "disk",
        level,
        f"{_bytes(machine.disk_free)} free: {days:,.1f} days of {calls:,} calls around the clock",
        f"a day or more, and {_bytes(reserve)} at the least",
        ""
        if level is Level.OK
        else "a larger disk, or set storage.directory; below the least new calls are refused",
    )


def _folder(machine: Machine) -> Finding:
    folder = machine.folder
    found = f"{folder.path}: mode {folder.mode:04o}"
    if not folder.writable:
        return Finding(
            "folder", Level.FAULT, f"{found}, not writable", "writable", "give it to the gateway's user"
        )
    if not folder.exists:
        return Finding("folder", Level.OK, "not there yet; it will be made", "mode 0700, of this user")
    if folder.mode & 0o077 or not folder.ours:
        owner = "" if folder.ours else ", of another user"
        action = f"chown it to the gateway's user and `chmod 700 {folder.path}`"
        return Finding("folder", Level.WARNING, found + owner, "mode 0700, of this user", action)
    return Finding("folder", Level.OK, found, "mode 0700, of this user")


def _keys(machine: Machine, settings: Settings) -> Iterator[Finding]:
    if all(mode is None for mode in machine.keys.values()):
        yield Finding("keys", Level.OK, "none yet; made at the first start", "all or none")
        return
    for setting, mode in machine.keys.items():
        yield _key(setting, mode, machine.keys["vault_private"] is not None)


def _key(setting: str, mode: int | None, playback: bool) -> Finding:
    check = f"key {setting}"
    secret = setting != "vault_public"
    expected = "mode 0600" if secret else "present"
    if mode is None and setting == "vault_private":
        return Finding(
            check, Level.OK, "absent: this machine records and cannot play", "mode 0600, or absent"
        )
    if mode is None:
        action = (
            "restore it from its backup" if playback else "restore it, or make keys with `hushtap keys init`"
        )
        return Finding(check, Level.FAULT, "missing", expected, action)
    return _secret(check, mode) if secret else Finding(check, Level.OK, f"mode {mode:04o}", expected)


def _bytes(count: int) -> str:
    size, unit = float(count), "bytes"
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if size < 1000 or unit == "TB":
            break
        size /= 1000
    return f"{size:,.0f} {unit}" if size >= 100 or unit == "bytes" else f"{size:,.1f} {unit}"
