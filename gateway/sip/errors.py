"""What can be wrong with SIP, and whose fault it is.

SipError
  BadMessage   the peer broke the protocol; `status` is what to answer, `kind` what to count
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.sip.message import Request


class SipError(Exception):
    """Anything this package raises on account of a peer."""


class BadMessage(SipError):
    """A message that breaks RFC 3261; the text is one sentence without anything the peer wrote."""

    def __init__(self, status: int, reason: str, kind: str, request: Request | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.kind = kind  # few and fixed: fit for a metric label
        self.request = request  # what could be read of the request, to answer it

    @property
    def respond(self) -> bool:
        """Whether an answer can be built and may be sent: never to a response, never to ACK."""
        if self.request is None or self.request.method == "ACK":
            return False
        return all(self.request.headers.get(name) for name in ("Via", "CSeq"))
