"""Can the taps hear calls: what was seen for some seconds, weighed. A fault means that calls are missed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gateway.doctor import Finding, Level
from gateway.io.listening_in import Seen

PAIRED = (
    0.8  # share of audio streams that have another the other way; music on hold and announcements have none
)


def examine_taps(seen: Sequence[Seen], seconds: float) -> list[Finding]:
    """Of every interface, in the order in which one would look for what is wrong."""
    if not seen:
        return [
            Finding(
                "tap", Level.FAULT, "none is configured", 'an [[attach]] of kind "tap"', "see docs/attach.md"
            )
        ]
    return [finding for each in seen for finding in _interface(each, seconds)]


def _interface(seen: Seen, seconds: float) -> Iterator[Finding]:
    place = f"{seen.tap}, {seen.interface}"
    if seen.fault:
        yield Finding(
            f"tap {place}", Level.FAULT, seen.fault, "an interface that can be listened on", "see there"
        )
        return
    yield _packets(seen, place, seconds)
    if not seen.frames:
        return
    yield _sip(seen)
    yield _directions(seen)
    yield Finding(
        "frames' clock",
        Level.WARNING if seen.astray else Level.OK,
        f"{seen.astray:,} frames with times that cannot be",
        "none",
        "see that a time service runs and does not step the clock" if seen.astray else "",
    )
    yield Finding(
        "dropped frames",
        Level.FAULT if seen.dropped else Level.OK,
        f"{seen.dropped:,} of {seen.frames + seen.dropped:,}",
        "none",
        "set ring_megabytes to more, or mirror less: a port or VLAN of telephony alone"
        if seen.dropped
        else "",
    )
    yield Finding(
        "cut frames",
        Level.WARNING if seen.cut else Level.OK,
        f"{seen.cut:,}",
        "none",
        "let the mirror pass whole frames: some cut them at a length" if seen.cut else "",
    )


def _packets(seen: Seen, place: str, seconds: float) -> Finding:
    return Finding(
        f"tap {place}",
        Level.OK if seen.frames else Level.FAULT,
        f"{seen.frames:,} frames of telephony or like it in {seconds:g} s",
        "some",
        ""
        if seen.frames
        else "see that the mirror is on, its destination is this port, and the cable is in it",
    )


def _sip(seen: Seen) -> Finding:
    found = f"{seen.requests:,} requests, {seen.responses:,} responses"
    if seen.unfollowed["sip_tls"]:
        found += ", and SIP over TLS"
        if not seen.requests:
            action = "have the telephone system use UDP or TCP here, or record by SIPREC or an endpoint"
            return Finding("SIP", Level.FAULT, found, "SIP that can be read", action)
    if not seen.requests and not seen.responses:
        action = "place a call meanwhile; else mirror the port of the telephone system, or set sip_ports"
        return Finding("SIP", Level.FAULT, found, "some of both", action)
    if not seen.requests or not seen.responses:
        action = "mirror both directions of the port: `both`, not `rx` or `tx` alone"
        return Finding("SIP", Level.FAULT, found, "some of both", action)
    if seen.unfollowed["sip_tls"]:
        action = "calls whose signalling is TLS are listed as not recorded"
        return Finding("SIP", Level.WARNING, found, "no TLS", action)
    return Finding("SIP", Level.OK, found, "some of both")


def _directions(seen: Seen) -> Finding:
    found = f"{seen.paired:,} of {seen.streams:,} audio streams have one the other way"
    expected = f"{PAIRED:.0%} or more"
    if not seen.streams:
        return Finding("both directions", Level.WARNING, "no audio", expected, "place a call meanwhile")
    good = seen.paired >= PAIRED * seen.streams
    return Finding(
        "both directions",
        Level.OK if good else Level.FAULT,
        found,
        expected,
        "" if good else "mirror both directions of the port, or each port that audio takes",
    )
