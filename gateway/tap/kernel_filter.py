"""The filter by which the kernel leaves out what carries no telephony before it is copied: classic BPF (bpf(4)).

Kept: UDP but of ignored ports, TCP of the ports of SIP alone, so never the gateway's own storage traffic; fragments, and
what may hold either in tunnels (GRE, IP in IP, PPPoE, MPLS, and those in UDP), behind up to two VLAN tags.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

WHOLE = 0x40000  # octets of a frame that are kept: all
# <linux/bpf_common.h>
LOAD_HALF, LOAD_BYTE = 0x28, 0x30  # A from a fixed place
LOAD_HALF_AT, LOAD_BYTE_AT = 0x48, 0x50  # A from X and an offset
LOAD_A, X_OF_A = 0x00, 0x07
IF_EQUAL, IF_ABOVE, IF_AT_LEAST, IF_ANY_BIT, AND, SHIFT_LEFT, ADD_X, RETURN = (
    0x15,
    0x25,
    0x35,
    0x45,
    0x54,
    0x64,
    0x0C,
    0x06,
)
LOAD_X, JUMP = 0x01, 0x05

TAGS = (0x8100, 0x88A8, 0x9100)  # IEEE 802.1Q, 802.1ad, and what came before it
IPV4, IPV6 = 0x0800, 0x86DD
WRAPPED = (0x8864, 0x8847, 0x8848)  # PPPoE, MPLS
UDP, TCP = 17, 6
TUNNELS = (47, 4, 41, 137, 51)  # GRE, IPv4, IPv6 and MPLS in IP, and an authentication header
FURTHER = (44, 0, 43, 60)  # RFC 8200: a fragment, and headers that may stand before UDP or TCP


@dataclass(frozen=True, slots=True)
class _Step:
    code: int
    operand: int = 0
    then: str = ""  # labels; empty: the next step
    other: str = ""


class _Program:
    """Steps with labels, of which jumps know the distance when all are there."""

    def __init__(self) -> None:
        self._steps: list[_Step] = []
        self._labels: dict[str, int] = {}

    def label(self, name: str) -> None:
        self._labels[name] = len(self._steps)

    def add(self, code: int, operand: int = 0, then: str = "", other: str = "") -> None:
        self._steps.append(_Step(code, operand, then, other))

    def any_of(self, values: Iterable[int], then: str) -> None:
        """Go on elsewhere when A is one of these."""
        for value in values:
            self.add(IF_EQUAL, value, then)

    def go(self, to: str) -> None:
        self.add(JUMP, then=to)

    def octets(self) -> bytes:
        """As struct sock_filter."""
        return b"".join(self._octets(at, step) for at, step in enumerate(self._steps))

    def _octets(self, at: int, step: _Step) -> bytes:
        def distance(label: str) -> int:
            return self._labels[label] - at - 1 if label else 0

        if step.code == JUMP:
            return struct.pack("=HBBI", step.code, 0, 0, distance(step.then))
        return struct.pack("=HBBI", step.code, distance(step.then), distance(step.other), step.operand)


def kernel_filter(sip_ports: Sequence[int], ignored_ports: Sequence[int], ethernet: bool = True) -> bytes:
    """The program, for frames with Ethernet headers or for bare IP. Raises ValueError where so many ports are too many."""
    if len(sip_ports) > 64 or len(ignored_ports) > 64:
        raise ValueError("more than 64 ports cannot be told apart by the kernel's filter")
    program = _Program()
    if ethernet:
        _ethernet(program)
    else:
        program.add(LOAD_X, 0)
        program.add(LOAD_BYTE, 0)
        program.add(AND, 0xF0)
        program.add(IF_EQUAL, 0x60, "ipv6")
    _ipv4(program)
    _ipv6(program)
    for name, ports, found in (("udp", ignored_ports, "drop"), ("tcp", sip_ports, "keep")):
        program.label(name)  # X is where its header begins
        for offset in (0, 2):
            program.add(LOAD_HALF_AT, offset)
            program.any_of(ports, f"{name} {found}")
        program.go("drop" if found == "keep" else "keep")
        program.label(f"{name} {found}")  # near, since conditions jump no further than 255 steps
        program.add(RETURN, WHOLE if found == "keep" else 0)
    program.label("keep")
    program.add(RETURN, WHOLE)
    program.label("drop")
    program.add(RETURN, 0)
    return program.octets()


def media_filter(first: int, last: int, ethernet: bool = True) -> bytes:
    """Of frames of this machine's own interface, UDP over IPv4 to these ports alone, whole and without tags."""
    program = _Program()
    if ethernet:
        program.add(LOAD_HALF, 12)
        program.add(IF_EQUAL, IPV4, "", "drop")
        program.add(LOAD_X, 14)
    else:
        program.add(LOAD_X, 0)
        program.add(LOAD_BYTE, 0)
        program.add(AND, 0xF0)
        program.add(IF_EQUAL, 0x40, "", "drop")
    program.add(LOAD_BYTE_AT, 9)
    program.add(IF_EQUAL, UDP, "", "drop")
    program.add(LOAD_HALF_AT, 6)
    program.add(IF_ANY_BIT, 0x1FFF, "drop")
    program.add(LOAD_BYTE_AT, 0)
    program.add(AND, 0x0F)
    program.add(SHIFT_LEFT, 2)
    program.add(ADD_X)
    program.add(X_OF_A)
    program.add(LOAD_HALF_AT, 2)
    program.add(IF_AT_LEAST, first, "", "drop")
    program.add(IF_ABOVE, last, "drop")
    program.add(RETURN, WHOLE)
    program.label("drop")
    program.add(RETURN, 0)
    return program.octets()


def _ethernet(program: _Program) -> None:
    """Pass tags; X is where the next header begins."""
    for start in (14, 18, 22):
        program.add(LOAD_X, start)
        program.add(LOAD_HALF, start - 2)
        if start < 22:
            program.any_of(TAGS, f"tag {start}")
            program.go("type")
            program.label(f"tag {start}")
    program.label("type")
    program.add(IF_EQUAL, IPV6, "ipv6")
    program.any_of(WRAPPED, "whole")
    program.add(IF_EQUAL, IPV4, "", "none")


def _ipv4(program: _Program) -> None:
    """RFC 791 section 3.1."""
    program.add(LOAD_HALF_AT, 6)
    program.add(IF_ANY_BIT, 0x1FFF, "whole")  # a further fragment has no ports
    program.add(LOAD_BYTE_AT, 9)
    program.any_of(TUNNELS, "whole")
    for protocol, name in ((UDP, "udp"), (TCP, "tcp")):
        program.add(IF_EQUAL, protocol, f"v4 {name}")
    program.label("none")
    program.add(RETURN, 0)
    program.label("whole")
    program.add(RETURN, WHOLE)
    for name in ("udp", "tcp"):
        program.label(f"v4 {name}")
        program.add(LOAD_BYTE_AT, 0)
        program.add(AND, 0x0F)
        program.add(SHIFT_LEFT, 2)
        program.add(ADD_X)
        program.add(X_OF_A)
        program.go(name)


def _ipv6(program: _Program) -> None:
    """RFC 8200 section 3."""
    program.label("ipv6")
    program.add(LOAD_BYTE_AT, 6)
    program.any_of((*TUNNELS, *FURTHER), "v6 whole")
    for protocol, name in ((UDP, "udp"), (TCP, "tcp")):
        program.add(IF_EQUAL, protocol, f"v6 {name}")
    program.add(RETURN, 0)
    program.label("v6 whole")
    program.add(RETURN, WHOLE)
    for name in ("udp", "tcp"):
        program.label(f"v6 {name}")
        program.add(LOAD_A, 40)
        program.add(ADD_X)
        program.add(X_OF_A)
        program.go(name)
