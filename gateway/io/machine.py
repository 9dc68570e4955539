"""What this machine offers a recorder: limits, ports, clock, disk, folders, keys.

Only measures; gateway.doctor judges. Nothing is left behind: sockets are bound and closed again, no file is made.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import resource
import shutil
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from importlib import metadata
from pathlib import Path

from gateway.config.settings import KeyName, Settings
from gateway.storage.vault import LOCK_FILE, Vault, VaultBusy

STA_UNSYNC = 0x0040  # <sys/timex.h>
CAP_NET_RAW = 13  # <linux/capability.h>: hears interfaces, for a tap
CAP_IPC_LOCK = 14  # <linux/capability.h>: locks memory whatever the limit
KEY_NAMES: tuple[KeyName, ...] = ("vault_public", "vault_private", "node", "lookup")
LIBRARIES = ("numpy", "cryptography", "av", "sqlalchemy")


class PortState(Enum):
    FREE = "free"
    IN_USE = "in use"
    NOT_ALLOWED = "not allowed for this user"
    NO_SUCH_ADDRESS = "no such address on this machine"


@dataclass(frozen=True, slots=True)
class Folder:
    """The storage folder, or the nearest folder above it that exists."""

    path: Path
    exists: bool  # the storage folder itself
    mode: int  # permission bits
    ours: bool  # owned by this user
    writable: bool


@dataclass(frozen=True, slots=True)
class Machine:
    """Facts, each as measured; None where the system does not say."""

    cores: int  # that this process may use
    memory: int | None  # bytes, of the machine or of this container
    open_files: (
        int | None
    )  # most of one process, the hard limit: the gateway raises the soft one; None: no limit
    may_lock_memory: bool  # without limit
    may_listen: bool  # on interfaces
    receive_buffer: int  # bytes, default of a UDP socket
    receive_buffer_max: int | None
    clock_synchronised: bool | None
    disk_free: int  # bytes
    folder: Folder
    keys: dict[str, int | None]  # permission bits by setting; None: no such file
    sip_udp: PortState
    sip_tcp: PortState
    api: PortState | None  # None: turned off
    agents: int | None  # permission bits of the file of tokens; None: no such file
    api_key: int | None  # of the API's private key; None: no such file
    gateway_running: bool  # a process holds the lock on the vault
    rtp_ports_free: int  # even ports of the range that could be bound
    rtp_ports: int
    link_bits: int | None  # a second, of the fastest network interface that is up
    python: str
    sqlite: str | None  # of the SQLite that the index uses
    libraries: dict[str, str | None]


def measure(settings: Settings) -> Machine:
    """Take every fact once; a few tenths of a second."""
    folder = _folder(settings.storage.directory)
    rtp = list(_rtp_ports(settings))
    address = settings.sip.address
    return Machine(
        cores=len(os.sched_getaffinity(0)),
        memory=_memory(),
        open_files=_limit(resource.getrlimit(resource.RLIMIT_NOFILE)[1]),
        may_lock_memory=_may_lock_memory(),
        may_listen=_has(CAP_NET_RAW),
        receive_buffer=_receive_buffer(),
        receive_buffer_max=_system_number("/proc/sys/net/core/rmem_max"),
        clock_synchronised=_clock_synchronised(),
        disk_free=shutil.disk_usage(folder.path).free,
        folder=folder,
        keys={name: _mode(settings.key_path(name)) for name in KEY_NAMES},
        sip_udp=_port_state(socket.SOCK_DGRAM, address, settings.sip.port),
        sip_tcp=_port_state(socket.SOCK_STREAM, address, settings.sip.port),
        api=_port_state(socket.SOCK_STREAM, settings.api.address, settings.api.port)
        if settings.api.port
        else None,
        agents=_mode(settings.agents_path()),
        api_key=_mode(settings.api.key) if settings.api.key else None,
        gateway_running=_gateway_running(settings.storage.directory),
        rtp_ports_free=sum(_port_state(socket.SOCK_DGRAM, address, port) is PortState.FREE for port in rtp),
        rtp_ports=len(rtp),
        link_bits=_link_bits(),
        python=platform.python_version(),
        sqlite=_sqlite_version(),
        libraries={name: _library_version(name) for name in LIBRARIES},
    )


def _limit(value: int) -> int | None:
    return None if value == resource.RLIM_INFINITY else value


def _memory() -> int | None:
    """What the machine has, or less where a control group sets a limit (cgroup v2)."""
    limit = _system_number("/sys/fs/cgroup/memory.max")
    for line in (_system_text("/proc/meminfo") or "").splitlines():
        name, _, value = line.partition(":")
        if name == "MemTotal":
            total = int(value.split()[0]) * 1024
            return total if limit is None else min(total, limit)
    return limit


def _may_lock_memory() -> bool:
    return _has(CAP_IPC_LOCK) or _limit(resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]) is None


def _has(capability: int) -> bool:
    for line in (_system_text("/proc/self/status") or "").splitlines():
        name, _, value = line.partition(":")
        if name == "CapEff":
            return bool(int(value, 16) >> capability & 1)
    return False


def _system_text(path: str) -> str | None:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError:
        return None


def _system_number(path: str) -> int | None:
    text = _system_text(path)
    return int(text) if text is not None and text.isdecimal() else None


def _receive_buffer() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        return sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)


def _link_bits() -> int | None:
    """Interfaces that have no speed of their own, virtual ones, say -1 or nothing."""
    found = [_system_text(str(path)) or "" for path in Path("/sys/class/net").glob("*/speed")]
    speeds = [int(speed) for speed in found if speed.isdecimal() and int(speed)]
    return max(speeds) * 1_000_000 if speeds else None


class _Timex(ctypes.Structure):
    """The head of struct timex (adjtimex(2)), and room for the rest of it."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_char * 256),
    )


def _clock_synchronised() -> bool | None:
    """What the kernel says of its clock; modes = 0 only reads."""
    try:
        adjtimex = ctypes.CDLL(None).adjtimex
    except (OSError, AttributeError):
        return None
    timex = _Timex()
    if adjtimex(ctypes.byref(timex)) >= 0:
        return not timex.status & STA_UNSYNC
    return True if Path("/run/systemd/timesync/synchronized").exists() else None


def _folder(directory: Path) -> Folder:
    exists = directory.is_dir()
    path = directory.absolute()
    while not path.is_dir():
        path = path.parent
    status = path.stat()
    return Folder(
        path,
        exists,
        status.st_mode & 0o777,
        status.st_uid == os.geteuid(),
        os.access(path, os.W_OK | os.X_OK),
    )


def _mode(path: Path) -> int | None:
    try:
        return path.stat().st_mode & 0o777
    except OSError:
        return None


def _rtp_ports(settings: Settings) -> Iterator[int]:
    first = settings.media.first_port
    return iter(range(first + first % 2, settings.media.last_port + 1, 2))


def _port_state(kind: socket.SocketKind, address: str, port: int) -> PortState:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, kind) as sock:
        if (
            kind is socket.SOCK_STREAM
        ):  # as the server does: a closed connection of an earlier run is no hindrance
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((address, port))
        except OSError as error:
            match error.errno:
                case errno.EADDRINUSE:
                    return PortState.IN_USE
                case errno.EACCES | errno.EPERM:
                    return PortState.NOT_ALLOWED
                case _:
                    return PortState.NO_SUCH_ADDRESS
    return PortState.FREE


def _gateway_running(directory: Path) -> bool:
    """Whether a process holds the lock on the vault, as a gateway does while it runs."""
    if not (directory / LOCK_FILE).exists():
        return False
    try:
        with Vault(directory).exclusive():
            return False
    except VaultBusy:
        return True
    except OSError:
        return False


def _sqlite_version() -> str | None:
    try:
        from pysqlite3 import dbapi2
    except ImportError:
        return None
    return str(dbapi2.sqlite_version)


def _library_version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
