"""Audio between places that a call has told of is that call's."""

from __future__ import annotations

import pytest

from gateway.tap import announced as module
from gateway.tap.announced import Announced
from gateway.tap.effects import Place, Side, TappedStream

HERE, THERE, ELSEWHERE = ("192.0.2.1", 4000), ("2001:db8:0::7", 4002), ("192.0.2.9", 4000)


def stream(to: Place | None, source: Place | None = None) -> TappedStream:
    return TappedStream(Side.CALLER, to, source, ())


def test_while_a_call_goes_on_and_what_began_then() -> None:
    announced = Announced()
    announced.told(1, [stream(HERE, THERE), stream(("a name", 5), None)])
    assert announced.known((ELSEWHERE, HERE), 5)
    assert announced.known((("2001:db8::7", 4002), ELSEWHERE), 5)
    assert not announced.known((ELSEWHERE, ("192.0.2.1", 4001)), 5)
    announced.over(1, 100)
    assert announced.known((HERE, THERE), 100)
    assert not announced.known((HERE, THERE), 101)


def test_what_goes_beside_the_audio_is_of_the_call_too() -> None:
    announced = Announced()
    announced.told(1, [stream(HERE)], [ELSEWHERE])
    assert announced.known((THERE, ELSEWHERE), 5)
    assert not announced.known((THERE, ("192.0.2.9", 4001)), 5)


def test_a_place_that_is_taken_again() -> None:
    announced = Announced()
    announced.told(1, [stream(HERE)])
    announced.over(1, 100)
    announced.told(2, [stream(HERE)])
    assert announced.known((HERE, ELSEWHERE), 500)


def test_places_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PLACES", 2)
    announced = Announced()
    for port in range(1, 4):
        announced.told(port, [stream(("192.0.2.1", port))])
        announced.over(port, port)
    assert not announced.known((("192.0.2.1", 1), ELSEWHERE), 1)
    assert announced.known((("192.0.2.1", 3), ELSEWHERE), 3)
