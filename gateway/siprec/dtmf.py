"""Keys that a client tells of by INFO: application/dtmf-relay and application/dtmf.

Neither is registered; they are what equipment sends in the legacy usage of INFO (RFC 6086 section 1).

DtmfError   a body of these types does not tell of a key; the message is one sentence without its contents
"""

from __future__ import annotations

import re

from gateway.redaction.digit import Digit
from gateway.sip.message import Request
from gateway.siprec.multipart import MultipartError, split

TYPES = ("application/dtmf-relay", "application/dtmf")
MAX_BODY = 256  # octets; a signal and a duration take thirty
MAX_LASTS_MS = 60_000  # a longer duration is no key's
KEYS = {
    **{str(digit.value): digit for digit in Digit},  # by event code, RFC 4733 section 3.2
    **dict(zip("*#ABCD", list(Digit)[10:], strict=True)),
}
NO_KEY = frozenset({"16", "!", "HF", "FLASH"})  # the hook flash

_FIELD = re.compile(rb'[ \t]*(signal|duration)[ \t]*=[ \t]*"?([!#-~]*)"?[ \t]*', re.IGNORECASE)
_BARE = re.compile(rb"[ \t]*([!-~]{1,5})[ \t]*")


class DtmfError(Exception):
    """What was sent does not tell of a key."""


def key_of(request: Request) -> tuple[Digit, int] | None:
    """The key that an INFO tells of and how long it sounds, ms (0: not told); None where it tells of none.

    Raises DtmfError.
    """
    if not request.body:
        return None
    try:
        parts = split(request.headers.get("Content-Type") or "", request.body)
    except MultipartError as error:
        raise DtmfError(str(error)) from error
    body = next((part.body for part in parts if part.media_type in TYPES), None)
    return _key(body) if body is not None else None


def _key(body: bytes) -> tuple[Digit, int] | None:
    if len(body) > MAX_BODY:
        raise DtmfError(f"a body of {len(body)} octets does not tell of a key: at most {MAX_BODY} do")
    lines = [line for line in re.split(rb"[\r\n\0]+", body) if line.strip()]
    fields = {found[1].lower(): found[2] for line in lines if (found := _FIELD.fullmatch(line))}
    signal = fields.get(b"signal")
    if signal is None and len(lines) == 1 and (bare := _BARE.fullmatch(lines[0])):
        signal = bare[1]
    name = (signal or b"").decode("ascii").upper()
    if name in NO_KEY:
        return None
    if name not in KEYS:
        raise DtmfError("a body names no key of a keypad")
    return KEYS[name], _duration(fields.get(b"duration", b""))


def _duration(text: bytes) -> int:
    return min(int(text), MAX_LASTS_MS) if text.isdigit() and len(text) < 10 else 0
