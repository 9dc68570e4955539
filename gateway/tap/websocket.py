"""SIP in WebSockets (RFC 7118): the messages of one direction of a connection, behind its handshake."""

from __future__ import annotations

import re

from gateway.sip.errors import BadMessage

# RFC 6455 section 5.2: of the first octet the last frame of a message, what extensions change, and what the frame is.
LAST, EXTENDED, KIND = 0x80, 0x70, 0x0F
CONTINUATION, CONTROL = 0x0, 0x8  # control frames have kinds from there on
MASKED, LENGTH = 0x80, 0x7F  # of the second octet
LONGER = {126: 2, 127: 8}  # octets of the length behind it

_HANDSHAKE = re.compile(
    rb"(?:GET [^\r\n]{1,4096} HTTP/1\.1|HTTP/1\.1 101[^\r\n]{0,256})\r\n"
    rb"(?:[^\r\n]{1,8192}\r\n){0,100}?Sec-WebSocket-Protocol:[^\r\n]{0,256}\bsip\b[^\r\n]{0,256}\r\n"
    rb"(?:[^\r\n]{1,8192}\r\n){0,100}?\r\n",
    re.IGNORECASE,
)


def handshake(octets: bytes) -> int | None:
    """How many octets long the half of a handshake is that begins here and agrees on SIP (RFC 7118 section 4); None: none does."""
    found = _HANDSHAKE.match(octets)
    return found.end() if found else None


class WebSocketFramer:
    """Feed it what a connection gave; it answers with whole messages, as a framer of plain connections does.

    A connection that uses an extension, or says what RFC 6455 forbids, is `broken`, and gives nothing more.
    """

    def __init__(self, max_message_bytes: int) -> None:
        self._max = max_message_bytes
        self._buffer = bytearray()
        self._message = bytearray()  # of the frames of it that were whole
        self.broken: BadMessage | None = None

    def feed(self, data: bytes) -> list[bytes]:
        messages: list[bytes] = []
        if not self.broken:
            self._buffer += data
            try:
                while (frame := self._frame()) is not None:
                    messages += self._take(*frame)
            except BadMessage as error:
                self.broken = error
                self._buffer.clear()
                self._message.clear()
        return messages

    def _frame(self) -> tuple[int, bytes] | None:
        """The first octet of the next frame, and what it carries; None while it is not whole."""
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        longer = LONGER.get(buffer[1] & LENGTH, 0)
        mask_at = 2 + longer
        at = mask_at + 4 * bool(buffer[1] & MASKED)
        size = int.from_bytes(buffer[2:mask_at]) if longer else buffer[1] & LENGTH
        if buffer[0] & EXTENDED:
            raise BadMessage(400, "a frame is changed by an extension", "bad_frame")
        if len(buffer) >= mask_at and size > self._max:
            raise BadMessage(513, f"a frame has more than {self._max} bytes", "too_large")
        if len(buffer) < at + size:
            return None
        first, payload = buffer[0], bytes(buffer[at : at + size])
        if at > mask_at:
            payload = _unmasked(payload, bytes(buffer[mask_at:at]))
        del buffer[: at + size]
        return first, payload

    def _take(self, first: int, payload: bytes) -> list[bytes]:
        kind = first & KIND
        if kind >= CONTROL:
            return []
        if (kind == CONTINUATION) != bool(self._message):
            raise BadMessage(400, "a message does not go on where it should", "bad_frame")
        self._message += payload
        if len(self._message) > self._max:
            raise BadMessage(513, f"the message has more than {self._max} bytes", "too_large")
        if not first & LAST:
            return []
        message = bytes(self._message)
        self._message.clear()
        return [message] if message.strip() else []  # what is blank keeps a connection open


def _unmasked(payload: bytes, key: bytes) -> bytes:
    """RFC 6455 section 5.3."""
    whole = (key * (len(payload) // 4 + 1))[: len(payload)]
    return (int.from_bytes(payload) ^ int.from_bytes(whole)).to_bytes(len(payload))
