"""Telephone-events (RFC 4733): when a key sounds, never which."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.rtp.packets import Ints, Octets, RtpColumns


@dataclass(frozen=True, slots=True)
class Tone:
    """A telephone-event (RFC 4733) as far as it has come, in RTP time. Which key it was is not kept."""

    leg: int
    slot: int  # of the packet that told of it
    start: int
    ticks: int  # it lasts, as yet; of the clock of its payload type
    payload_type: int


def tones_of(packets: RtpColumns, slots: Octets, slot: Ints, media: Ints, which: Ints) -> list[Tone]:
    """The tones that telephone-event packets tell of (RFC 4733 section 2.3); few, so one by one."""
    tones = []
    for index in which.tolist():
        row, offset = int(packets.rows[index]), int(packets.offset[index])
        length = min(int(packets.size[index]) // 4 * 4, 32)
        payload = slots[row, offset : offset + length].tobytes()
        ticks = sum(int.from_bytes(payload[at + 2 : at + 4], "big") for at in range(0, length, 4))
        tones.append(
            Tone(
                leg=int(packets.legs[index]),
                slot=int(slot[index]),
                start=int(media[index]),
                ticks=max(ticks, 1),
                payload_type=int(packets.payload_type[index]),
            )
        )
    return tones
