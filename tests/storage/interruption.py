"""Work on the vault that is stopped between two of its steps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.storage import files


class Stopped(Exception):
    """The process would be gone here."""


@contextmanager
def stopped_after(documents: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Stop at the next document after so many were replaced."""
    replace, left = files.replace, documents

    def stopping(path: Path, data: bytes, *, sync: bool = True) -> None:
        nonlocal left
        if not left:
            raise Stopped
        left -= 1
        replace(path, data, sync=sync)

    with monkeypatch.context() as patch:
        patch.setattr(files, "replace", stopping)
        yield
