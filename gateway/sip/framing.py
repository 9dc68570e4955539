"""Messages in a byte stream (RFC 3261 section 18.3): cut by Content-Length, nothing read ahead."""

from __future__ import annotations

import re

from gateway.sip.errors import BadMessage
from gateway.sip.message import MAX_HEADER_BYTES, Headers, Request, content_length, parse_head

_HEAD_END = re.compile(rb"\r?\n\r?\n")
_LONGEST_END = 4


class StreamFramer:
    """Feed it what the connection gave; it answers with whole messages.

    Three outcomes: messages, more bytes needed (an empty list), or BadMessage. A stream that is broken once has
    no findable next message: `broken` stays set, and every further feed raises it. Messages before the fault are
    still returned, by the feed that met it; look at `broken` after each.
    """

    def __init__(self, max_message_bytes: int) -> None:
        self._max = max_message_bytes
        self._buffer = bytearray()
        self._searched = 0  # no end of head before this offset: keeps dripped bytes linear
        self._needed: int | None = None  # length of the message whose head is known
        self.broken: BadMessage | None = None

    @property
    def waiting(self) -> bool:
        """Whether a message has begun and is not whole."""
        return bool(self._buffer)

    def feed(self, data: bytes) -> list[bytes]:
        messages: list[bytes] = []
        if not self.broken:
            self._buffer += data
            try:
                while (message := self._next()) is not None:
                    messages.append(message)
            except BadMessage as error:
                self.broken = error
                self._buffer.clear()
        if self.broken and not messages:
            raise self.broken
        return messages

    def _next(self) -> bytes | None:
        if self._needed is None:
            self._skip_keepalives()
            end = _HEAD_END.search(self._buffer, self._searched)
            if end is None:
                self._searched = max(0, len(self._buffer) - _LONGEST_END)
                if len(self._buffer) > MAX_HEADER_BYTES:
                    raise BadMessage(
                        513, f"the head has more than {MAX_HEADER_BYTES} bytes", "head_too_large"
                    )
                return None
            self._needed = end.end() + self._body_length(bytes(self._buffer[: end.start()]))
        if len(self._buffer) < self._needed:
            return None
        message = bytes(self._buffer[: self._needed])
        del self._buffer[: self._needed]
        self._needed, self._searched = None, 0
        return message

    def _skip_keepalives(self) -> None:
        """Line ends before a start line are keepalives (section 7.5, RFC 5626 section 3.5.1)."""
        blank = len(self._buffer) - len(self._buffer.lstrip(b"\r\n"))
        if blank:
            del self._buffer[:blank]
            self._searched = 0

    def _body_length(self, head: bytes) -> int:
        message, _ = parse_head(head)
        request = message if isinstance(message, Request) else None
        length = self._stated_length(message.headers, request)
        if len(head) + length > self._max:
            raise BadMessage(513, f"the message has more than {self._max} bytes", "too_large", request)
        return length

    @staticmethod
    def _stated_length(headers: Headers, request: Request | None) -> int:
        try:
            length = content_length(headers)
        except BadMessage as error:
            raise BadMessage(error.status, error.reason, error.kind, request) from error
        if length is None:
            raise BadMessage(
                400, "a message in a stream lacks Content-Length", "missing_content_length", request
            )
        return length
