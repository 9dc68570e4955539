"""The codecs that can be recorded, by RTP name and by Matroska track."""

from __future__ import annotations

from gateway.codecs import amr, dvi4, framed, g711, g726, g7231, l16, opus, speex
from gateway.codecs.codec import Codec

__all__ = ["CODECS", "Codec", "CodecError", "by_name", "by_track", "supported"]

CODECS = (
    *g711.CODECS, *framed.CODECS, *opus.CODECS, *l16.CODECS, *amr.CODECS,
    *g726.CODECS, *g7231.CODECS, *speex.CODECS, *dvi4.CODECS,
)  # fmt: skip

# Names in use besides: G.729 with the annexes that its payload does not tell of; G.726 at 32 kbit/s as it once was called.
_ALIASES = {
    "G729A": "G729", "G729B": "G729", "G729AB": "G729", "G.729": "G729",
    "G721": "G726-32", "G723.1": "G723", "G7231": "G723",
}  # fmt: skip
# RFC 4867 section 8: parameters that give AMR a payload that is not read here.
_AMR_NOT_READ = ("crc", "robust-sorting", "interleaving")

_Key = tuple[str, int, int, str]  # name, clock rate, channels, parameters


class CodecError(Exception):
    """A payload format is not one of the registry's; the text names it."""


_BY_NAME = {(codec.name, codec.clock_rate, codec.channels, codec.parameters): codec for codec in CODECS}
_BY_TRACK = {
    (codec.matroska_id, codec.private or (codec.sample_rate, codec.channels)): codec for codec in CODECS
}


def supported(name: str, clock_rate: int, channels: int = 1, parameters: str = "") -> bool:
    """Whether the payload format of an `a=rtpmap` and its `a=fmtp` can be recorded."""
    return _key(name, clock_rate, channels, parameters) in _BY_NAME


def by_name(name: str, clock_rate: int, channels: int = 1, parameters: str = "") -> Codec:
    """The codec of an `a=rtpmap` and its `a=fmtp`. Raises CodecError."""
    codec = _BY_NAME.get(_key(name, clock_rate, channels, parameters))
    if codec is None:
        known = ", ".join(dict.fromkeys(codec.name for codec in CODECS))
        raise CodecError(f"codec {name}/{clock_rate}/{channels} {parameters} is not one of {known}")
    return codec


def by_track(matroska_id: str, private: bytes, sample_rate: int = 0, channels: int = 0) -> Codec:
    """The codec of a Matroska track, by its CodecID and CodecPrivate, or else its format. Raises CodecError."""
    codec = _BY_TRACK.get((matroska_id, private or (sample_rate, channels)))
    if codec is None:
        raise CodecError(f"a track of codec {matroska_id} with private data {private.hex()} is not known")
    return codec


def _key(name: str, clock_rate: int, channels: int, parameters: str) -> _Key:
    """What tells formats apart, of all that was said about one."""
    name = name.upper()
    name = _ALIASES.get(name, name)
    match name:
        case "OPUS":  # RFC 7587 section 7: always two
            return name, clock_rate, 2, ""
        case "AMR" | "AMR-WB":
            said = _parameters(parameters)
            wanted = amr.ALIGNED if said.get("octet-align") == "1" else ""
            odd = any(said.get(key, "0") != "0" for key in _AMR_NOT_READ)
            return name, clock_rate, channels, "other" if odd else wanted
        case _:
            return name, clock_rate, channels, ""


def _parameters(text: str) -> dict[str, str]:
    pairs = (piece.partition("=") for piece in text.split(";"))
    return {key.strip().lower(): value.strip() for key, _, value in pairs}
