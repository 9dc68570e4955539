"""The ring of an interface: the kernel writes frames into memory that is read without a system call (packet(7), TPACKET_V3).

Blocks that are full, or old enough, are copied out whole and given back at once; where the frames in them are, and all else,
is found for all of them together, in columns.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import socket
import struct
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from gateway.config.attach import EndpointTap, TapSettings
from gateway.io.receive import WAITED_NS, monotonic_less_utc
from gateway.rtp.packets import Ints
from gateway.tap.blocks import (
    ALIGNED,
    CAPTURED,
    HEADER_WORDS,
    LENGTH,
    NANOSECONDS,
    PLACE,
    PLACE_MASK,
    SECONDS,
    WORD,
    Block,
    frame_headers,
)
from gateway.tap.frames import FrameBatch
from gateway.tap.kernel_filter import kernel_filter, media_filter

BLOCK_BYTES = 1 << 17  # the longest frame that offloads make fits
# A block is given over after this long though it is not full. However little traffic there is, the ring holds at least
# so long for each of its blocks, while a worker is replaced or behind; a tick is longer.
RETIRE_MS = 80
# Longest that a frame waits in its block before it can be seen, with room for a busy kernel.
RETIRED_NS = 250_000_000
ARENA_BLOCKS = 64  # copied out in one go; what is left comes with the next batch
SLACK_BYTES = 2048  # behind the last frame, so that who reads past its end reads zeros
ASTRAY_NS = 1_000_000  # readings of two clocks differ by less
NS = 1_000_000_000

# <linux/if_packet.h>, <linux/if_ether.h>, <asm-generic/socket.h>
SOL_PACKET, SO_ATTACH_FILTER = 263, 26
ADD_MEMBERSHIP, RX_RING, STATISTICS, VERSION, IGNORE_OUTGOING = 1, 5, 6, 10, 23
MR_PROMISC, TPACKET_V3, ETH_P_ALL = 1, 2, 0x0003
STATUS_USER = 1
REQUEST = struct.Struct("=7I")  # struct tpacket_req3
MEMBERSHIP = struct.Struct("=iHH8s")  # struct packet_mreq
COUNTS = struct.Struct("=3I")  # struct tpacket_stats_v3: packets, drops, freezes
# struct tpacket_block_desc, in words of four octets: status, packets, offset of the first, octets used; the seconds when it was
# begun and of its last packet; and in words of eight its number.
BLOCK_STATUS, BLOCK_PACKETS, BLOCK_FIRST, BLOCK_USED = 2, 3, 4, 5
BLOCK_BEGAN, BLOCK_ENDED = 8, 10
BLOCK_SEQUENCE = 3
BLOCK_HEAD = 48  # octets

# <linux/if_arp.h>: what an interface's frames begin with, as LINKTYPE_ of capture files.
ETHERNET, RAW = 1, 101
ARPHRD = {1: ETHERNET, 772: ETHERNET, 512: RAW, 519: RAW, 65534: RAW, 768: RAW, 769: RAW, 776: RAW, 778: RAW}
LOOPBACK = 772
# <linux/sockios.h>, <linux/if.h>
SIOCGIFFLAGS, SIOCGIFHWADDR, IFF_UP = 0x8913, 0x8927, 1
IFREQ = struct.Struct("=16sH22x")


class TapFault(Exception):
    """An interface cannot be listened on; the text is one sentence."""


def open_ring(interface: str, settings: TapSettings) -> socket.socket:
    """A socket that fills its ring from now on. Raises TapFault."""
    try:
        opened = socket.socket(
            socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, 0
        )
    except PermissionError as error:
        raise TapFault(
            f"the tap cannot listen on {interface}: the capability CAP_NET_RAW is missing; "
            "with systemd set AmbientCapabilities=CAP_NET_RAW, else run `setcap cap_net_raw+ep` on the interpreter"
        ) from error
    except OSError as error:
        raise TapFault(f"the tap cannot listen on {interface}: {error.strerror}") from error
    try:
        _prepare(opened, interface, settings)
    except OSError as error:
        opened.close()
        raise TapFault(_sentence(error, interface, settings)) from error
    return opened


def _sentence(error: OSError, interface: str, settings: TapSettings) -> str:
    match error.errno:
        case errno.ENODEV | errno.ENXIO:
            return f"the tap cannot listen on {interface}: this machine has no such interface"
        case errno.ENOMEM | errno.ENOBUFS:
            return (
                f"the tap cannot listen on {interface}: the kernel has no memory for a ring of "
                f"{settings.ring_megabytes} MB; set ring_megabytes to less"
            )
    return f"the tap cannot listen on {interface}: {error.strerror or error}"


def _prepare(opened: socket.socket, interface: str, settings: TapSettings) -> None:
    """Nothing comes before the filter and the ring are there: the socket is bound last."""
    kind = _asked(opened, SIOCGIFHWADDR, interface)
    if kind not in ARPHRD:
        raise OSError(0, f"frames of interfaces of hardware type {kind} are not known")
    program = _filter(settings, ARPHRD[kind] == ETHERNET)
    memory = ctypes.create_string_buffer(program)
    told = struct.pack("HP", len(program) // 8, ctypes.addressof(memory))
    opened.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, told)
    opened.setsockopt(SOL_PACKET, VERSION, TPACKET_V3)
    if kind == LOOPBACK:  # what is sent there comes back as received: each packet is wanted once
        opened.setsockopt(SOL_PACKET, IGNORE_OUTGOING, 1)
    blocks = (settings.ring_megabytes << 20) // BLOCK_BYTES
    frame = 2048  # only has to divide a block: frames lie close to each other in this version
    request = (BLOCK_BYTES, blocks, frame, blocks * (BLOCK_BYTES // frame), RETIRE_MS, 0, 0)
    opened.setsockopt(SOL_PACKET, RX_RING, REQUEST.pack(*request))
    _bind(opened, interface)


def _bind(opened: socket.socket, interface: str) -> None:
    """All frames of the interface, whoever they are for."""
    index = socket.if_nametoindex(interface)
    opened.setsockopt(SOL_PACKET, ADD_MEMBERSHIP, MEMBERSHIP.pack(index, MR_PROMISC, 0, bytes(8)))
    opened.bind((interface, ETH_P_ALL))


def revive(interface: str, ring: socket.socket) -> None:
    """Where the interface was taken away, listen on the one that has its name now, if there is one."""
    with suppress(OSError):
        if ring.getsockname()[0] != interface:
            _bind(ring, interface)


def _filter(settings: TapSettings, ethernet: bool) -> bytes:
    if isinstance(settings, EndpointTap):
        return media_filter(*settings.rtp_ports, ethernet)
    return kernel_filter((*settings.sip_ports, *settings.tls_ports), settings.ignored_ports, ethernet)


def _asked(opened: socket.socket, what: int, interface: str) -> int:
    """What netdevice(7) tells of an interface: the two octets behind its name."""
    told = fcntl.ioctl(opened, what, IFREQ.pack(interface.encode(), 0))
    return int(IFREQ.unpack(told)[1])


def is_up(interface: str, ring: socket.socket) -> bool:
    """Whether the interface that a ring is bound to is there and up; a new one of the same name is another."""
    try:
        up = _asked(ring, SIOCGIFFLAGS, interface) & IFF_UP
        return bool(up) and ring.getsockname()[0] == interface
    except OSError:
        return False


@dataclass(frozen=True, slots=True)
class Counts:
    """What the kernel counted since it was last asked."""

    packets: int  # that passed the filter, those dropped included
    dropped: int  # because the ring was full


def link_type(opened: socket.socket) -> int:
    """LINKTYPE_ of the frames that come."""
    return ARPHRD[opened.getsockname()[3]]


class Ring:
    """One interface's ring; the socket is closed with it. Whoever maps it goes on where the last reader was."""

    def __init__(self, handle: int, megabytes: int, link_type: int) -> None:
        """Raises OSError where the socket has no such ring."""
        self._socket = socket.socket(fileno=handle)
        self._link_type = link_type
        blocks = (megabytes << 20) // BLOCK_BYTES
        self._memory = mmap.mmap(
            handle, blocks * BLOCK_BYTES, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE
        )
        self._octets = np.frombuffer(self._memory, np.uint8).reshape(blocks, -1)
        self._words = self._octets.view(np.uint32)
        self._arena = np.zeros(ARENA_BLOCKS * BLOCK_BYTES + SLACK_BYTES, np.uint8)
        self._frames = sliding_window_view(self._arena.view(np.uint32), HEADER_WORDS)
        self._most = min(ARENA_BLOCKS, blocks)
        self._barrier = threading.Lock()
        self._barrier.acquire()
        self._next = self._oldest()
        self._number = 1
        self.astray = 0  # frames that, by the kernel's time, came when they cannot have come
        self._drained_ns = time.monotonic_ns() - WAITED_NS

    def drain(self) -> tuple[FrameBatch, bool]:
        """All frames that wait, and whether more did than are taken at once.

        The batch is a view, good until the next drain. Arrival is on the monotonic clock.
        """
        began = time.monotonic_ns()
        order = (self._next + np.arange(self._most)) % len(self._words)
        given = self._words[order, BLOCK_STATUS] & STATUS_USER
        taken = order[: self._most if given.all() else int(given.argmin())]
        self._fence()
        blocks = self._copied(taken)
        self._fence()
        self._words[taken, BLOCK_STATUS] = 0
        self._next = (self._next + len(taken)) % len(self._words)
        batch = self._batch(blocks)
        if len(taken) < self._most:
            self._drained_ns = began
        return batch, len(taken) == self._most

    def counts(self) -> Counts:
        packets, dropped, _ = COUNTS.unpack(self._socket.getsockopt(SOL_PACKET, STATISTICS, COUNTS.size))
        return Counts(packets, dropped)

    def close(self) -> None:
        """The memory goes when nothing looks at it any more."""
        self._socket.close()

    def _copied(self, taken: Ints) -> list[Block]:
        """These blocks, one behind the other in the arena."""
        blocks, used = [], 0
        for block in taken.tolist():
            head = self._words[block, : BLOCK_ENDED + 1].tolist()
            size = head[BLOCK_USED] + -head[BLOCK_USED] % ALIGNED
            self._arena[used : used + size] = self._octets[block, :size]
            first, count = used + head[BLOCK_FIRST], head[BLOCK_PACKETS]
            blocks.append(Block(used, first, used + size, count, head[BLOCK_BEGAN], head[BLOCK_ENDED]))
            used += size
        return blocks

    def _fence(self) -> None:
        """What was read and written before stays before what follows, on processors, too, that exchange them: a lock that is
        let go and taken again is such a barrier."""
        self._barrier.release()
        self._barrier.acquire()

    def _oldest(self) -> int:
        """The block to be read next: the first that was given over, else the one that the kernel fills."""
        order = self._octets[:, :BLOCK_HEAD].copy().view(np.uint64)[:, BLOCK_SEQUENCE]
        given = np.flatnonzero(self._words[:, BLOCK_STATUS] & STATUS_USER)
        if len(given):
            return int(given[np.argmin(order[given])])
        return int(np.argmax(order))  # numbered when the kernel begins to fill it

    def _batch(self, blocks: Sequence[Block]) -> FrameBatch:
        starts = frame_headers(self._arena, blocks)
        used = blocks[-1].end if blocks else 0
        headers = self._frames[starts].astype(np.int64)
        self._arena[used : used + SLACK_BYTES] = 0
        numbers = np.arange(self._number, self._number + len(starts))
        self._number += len(starts)
        return FrameBatch(
            self._arena[: used + SLACK_BYTES],
            WORD * starts + (headers[:, PLACE] & PLACE_MASK),
            headers[:, CAPTURED],
            headers[:, LENGTH],
            np.full(len(starts), self._link_type),
            self._arrivals(headers[:, SECONDS] * NS + headers[:, NANOSECONDS]),
            numbers,
        )

    def _arrivals(self, utc: Ints) -> Ints:
        """The kernel's times on the monotonic clock; a step of the system clock moves them no further than is possible."""
        now = time.monotonic_ns()
        told = utc + monotonic_less_utc()
        clipped: Ints = np.clip(told, self._drained_ns - RETIRED_NS, now)
        self.astray += int(np.count_nonzero(np.abs(told - clipped) > ASTRAY_NS))
        return clipped
