"""Ports for a run."""

from __future__ import annotations

import pytest

from bench import ports


def test_room_is_found_where_there_is_only_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most of the ports asked for: nearly every choice of a first one has a port among them that somebody holds."""
    taken = 20_003
    monkeypatch.setattr(ports, "LOWEST", taken - 3)
    monkeypatch.setattr(ports, "HIGHEST", taken + 9)
    monkeypatch.setattr(ports, "is_free", lambda port: port != taken)
    assert ports.free_range(8) == taken + 1
    with pytest.raises(ports.NoPorts, match="no 10 UDP ports in a row are free"):
        ports.free_range(10)
