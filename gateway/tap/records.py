"""What readers of capture files find, and what can be wrong with a file."""

from __future__ import annotations

from typing import NamedTuple, Protocol

MAX_FRAME = 262_144  # octets; the largest that capturing programs write
LATEST_NS = 2**32 * 1_000_000_000  # February 2106, when the seconds of the older format run out


class CaptureFault(Exception):
    """A capture cannot be read on; the text is one sentence with the number of the packet."""


class Record(NamedTuple):
    """One captured frame, as its place in what is being read."""

    offset: int
    size: int  # octets captured
    length: int  # octets on the wire
    link_type: int
    arrival: int  # ns since 1970


class Format(Protocol):
    """One format of capture files. It raises CaptureFault; the records found before it stay in `found`."""

    def read(self, data: bytes, at: int, found: list[Record], first: int) -> int:
        """Read all that is whole from `at` on; `first` is the number of the first record found. Where it stopped."""


def checked(number: int, size: int, arrival: int) -> None:
    """Raises CaptureFault for a frame that no capturing program writes."""
    if size > MAX_FRAME:
        raise CaptureFault(
            f"packet {number} is said to have {size} octets, more than any frame ({MAX_FRAME})"
        )
    if not 0 <= arrival <= LATEST_NS:
        raise CaptureFault(f"packet {number} is said to be of a time that no clock shows")
