"""G.726 ADPCM at 16, 24, 32 and 40 kbit/s, in both orders that RTP has for the codes of an octet.

RFC 3551 section 4.5.4: under the names G726-*, the first code is in the least significant bits; under AAL2-G726-*, as ITU-T I.366.2
has it, in the most significant.
"""

from __future__ import annotations

from gateway.codecs.codec import ACM, RTP, Codec, Decoder, wave_format

RATE = 8000
TAG = 0x0045  # of WAVEFORMATEX; only the order of AAL2 has one
# The least number of octets that ends with a code, and the samples in it, by the bits of a code.
GROUPS = {2: (1, 4), 3: (3, 8), 4: (1, 2), 5: (5, 8)}


def codec(bits: int, aal2: bool) -> Codec:
    kilobits = bits * RATE // 1000
    name = f"AAL2-G726-{kilobits}" if aal2 else f"G726-{kilobits}"

    def decoder() -> Decoder:
        from gateway.codecs.lavc import Lavc, Whole

        return Whole(Lavc("g726" if aal2 else "g726le", RATE, bits=bits), bits)

    return Codec(
        name=name,
        clock_rate=RATE,
        matroska_id=ACM if aal2 else RTP,
        private=wave_format(TAG, RATE, bits * RATE // 8, 1, bits) if aal2 else f"{name}/{RATE}/1".encode(),
        durations=lambda sizes, heads: sizes * 8 // bits,
        decoder=decoder,
        bits=bits,
        frames=(GROUPS[bits],),
    )


CODECS = tuple(codec(bits, aal2) for aal2 in (False, True) for bits in GROUPS)
