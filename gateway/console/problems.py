"""Errors as problem details (RFC 9457): the status is the type, `detail` one sentence without personal data."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from http import HTTPStatus

from starlette.responses import Response

MEDIA_TYPE = "application/problem+json"


class Problem(Exception):
    """Ends a request with a status; `members` are further members of the problem."""

    def __init__(
        self, status: int, detail: str, headers: Mapping[str, str] | None = None, **members: object
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers, self.members = status, detail, headers, members

    def response(self) -> Response:
        return Response(self.body(), self.status, self.headers, MEDIA_TYPE)

    def body(self) -> bytes:
        return json.dumps(
            {"title": HTTPStatus(self.status).phrase, "status": self.status, "detail": self.detail}
            | self.members
        ).encode()


def too_many(what: str, wait: float) -> Problem:
    """429, with the whole seconds after which to try again."""
    return Problem(429, f"too many {what}", {"Retry-After": str(math.ceil(wait))})


def busy(what: str) -> Problem:
    return Problem(503, f"too many {what} at once", {"Retry-After": "1"})
