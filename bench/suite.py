"""The runs that make up the whole benchmark: the same load on ever more calls, then one number of calls under other loads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from bench.figures import Course, Figures
from bench.gateway import GatewayError
from bench.load import Load
from bench.peers import PeerError
from bench.ports import NoPorts
from gateway.demo.client import ClientError

SIZES = (50, 100, 200, 400, 700, 1000, 1400, 2000)
LOADED = 200  # calls of the other loads
SRTP = "AES_CM_128_HMAC_SHA1_80"
GROWTH = "G.711, 20 ms"
MISSING: tuple[str, ...] = ()
TAPPED = (200, 1000)  # calls that are overheard


@dataclass(frozen=True, slots=True)
class Row:
    """One run of the suite; those of one name differ in the number of calls."""

    name: str
    course: Course


@dataclass(frozen=True, slots=True)
class Measured:
    row: Row
    figures: Figures


def rows(course: Course) -> Iterator[Row]:
    """Growth first, then the other loads; windows and rate as in the course."""
    for calls in SIZES:
        yield Row(GROWTH, replace(course, calls=calls, load=Load()))
    for calls in TAPPED:
        yield Row("mirrored port", replace(course, calls=calls, load=Load(), tap=True, peers=True))
    yield Row("beside others", replace(course, calls=LOADED, load=Load(), peers=True))
    loads = {
        "tones looked for in the audio": (Load(keys="inband"), "always"),
        "keys as events": (Load(keys="events"), "never"),
        "SRTP": (Load(suite=SRTP), "never"),
        "G.711, 10 ms": (Load(ptime_ms=10), "never"),
        "G.711, 40 ms": (Load(ptime_ms=40), "never"),
        "G.711, 60 ms": (Load(ptime_ms=60), "never"),
        "G.722": (Load(codec="G722"), "never"),
        "GSM": (Load(codec="GSM"), "never"),
        "Opus": (Load(codec="opus"), "never"),
        "2 % loss": (Load(loss=0.02), "never"),
        "40 ms jitter": (Load(jitter_ms=40), "never"),
        "30 % of calls muted": (Load(muted=0.3), "never"),
    }
    for name, (load, inband) in loads.items():
        yield Row(name, replace(course, calls=LOADED, load=load, inband=inband))


def measure(
    chosen: Iterable[Row], one: Callable[[Course], Figures], say: Callable[[str], None]
) -> list[Measured]:
    """Every row; of those that differ only in the number of calls, up to the first that the machine cannot carry."""
    found: list[Measured] = []
    ended: set[str] = set()
    for row in chosen:
        if row.name in ended:
            continue
        say(f"{row.name}, {row.course.calls} calls")
        try:
            figures = one(row.course)
        except (GatewayError, NoPorts, PeerError, ClientError) as error:
            if not found:
                raise
            say(f"{row.name}, {row.course.calls} calls: {error}")
            ended.add(row.name)
            continue
        found.append(Measured(row, figures))
        if figures.taken.missing:
            ended.add(row.name)
    return found
