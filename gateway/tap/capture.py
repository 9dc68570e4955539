"""Capture files as they are read, chunk by chunk: batches of frames, and where a file is at fault."""

from __future__ import annotations

import numpy as np

from gateway.tap.frames import FrameBatch
from gateway.tap.pcap import HEADER_SIZE, begun
from gateway.tap.pcapng import SECTION_MAGIC, PcapNg
from gateway.tap.records import CaptureFault, Format, Record


class CaptureReader:
    """Feed it a capture in chunks; it gives all frames that are whole.

    What was read before a fault stays good: the feed that meets it gives the frames before it. `fault` then holds one
    sentence with the number of the packet, and nothing more is read.
    """

    def __init__(self, first: int = 1) -> None:
        self._rest = b""  # of the last chunk, what is not whole
        self._format: Format | None = None
        self._number = first  # of the next frame
        self.fault: str | None = None

    @property
    def frames(self) -> int:
        """The number of the last frame read."""
        return self._number - 1

    def feed(self, chunk: bytes) -> FrameBatch:
        """The frames that have become whole."""
        if self.fault:
            return _batch(b"", [], self._number)
        data, at, first = self._rest + chunk, 0, self._number
        records: list[Record] = []
        try:
            if self._format is None:
                self._format, at = _recognised(data)
            if self._format is not None:
                at = self._format.read(data, at, records, first)
        except CaptureFault as fault:
            self.fault = str(fault)
        self._rest = b"" if self.fault else data[at:]
        self._number = first + len(records)
        return _batch(data, records, first)

    def break_off(self, why: str) -> None:
        """Nothing more can be read, for a reason that lies outside the format."""
        self.fault = self.fault or f"{why} within packet {self._number}"

    def finish(self) -> None:
        """No chunk follows: what is not whole is a fault."""
        if self.fault:
            return
        if self._format is None:
            self.fault = "this is no capture: it is empty" if not self._rest else _NO_CAPTURE
        elif self._rest:
            self.fault = f"the capture ends within packet {self._number}"
        self._rest = b""


_NO_CAPTURE = "this is no capture: it begins neither as pcap nor as pcapng"


def _recognised(data: bytes) -> tuple[Format | None, int]:
    """The format, once enough of the file is there to tell, and where its first record or block begins."""
    if data[:4] == SECTION_MAGIC:
        return PcapNg(), 0
    if len(data) < HEADER_SIZE:
        return None, 0
    found = begun(data[:HEADER_SIZE])
    if found is None:
        raise CaptureFault(_NO_CAPTURE)
    return found, HEADER_SIZE


def _batch(data: bytes, records: list[Record], first: int) -> FrameBatch:
    columns = np.array(records, np.int64).reshape(-1, len(Record._fields)).T.copy()
    offsets, sizes, lengths, link_types, arrivals = columns
    numbers = np.arange(first, first + len(records))
    return FrameBatch(np.frombuffer(data, np.uint8), offsets, sizes, lengths, link_types, arrivals, numbers)
