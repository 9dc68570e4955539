"""The others that a run measures beside the gateway: those that are installed and record the same."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from bench import sniffers
from bench.figures import Course
from bench.mirror import Mirror
from bench.peers import Rtpengine
from bench.peers import installed as rtpengine_is_there
from bench.sniffers import Sniffer

FORWARDS = {"rtpengine recording": False, "rtpengine recording and forwarding": True}

Peer = Rtpengine | Sniffer


def known(course: Course) -> Iterable[str]:
    """Whom a run would measure if they were all installed."""
    if not course.peers:
        return ()
    return sniffers.COMMANDS if course.tap else FORWARDS


def peers(course: Course, folder: Path) -> dict[str, tuple[Peer, str]]:
    """Whom it measures, and the interface at which each gets its packets; none: at ports of its own. Raises NoMirror."""
    calls, load = course.calls, course.load
    if course.tap:
        there = [name for name in known(course) if name in sniffers.installed()]
        mirrors = {name: Mirror(number) for number, name in enumerate(there, 1)}
        return {
            name: (Sniffer(name, folder / name, calls, load, mirror), mirror.phones)
            for name, mirror in mirrors.items()
        }
    there = list(known(course)) if rtpengine_is_there() else []
    return {name: (Rtpengine(folder / name, calls, load, FORWARDS[name]), "") for name in there}
