"""Who is let in, and how often."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from gateway.config.api import ApiSettings
from gateway.console.gate import Clock, Gate, network
from gateway.console.meters import Meters
from gateway.console.problems import Problem
from tests.console.fake import TOKENS, FakeAgents

HERE, THERE = "192.0.2.1", "192.0.2.2"


class At:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 100.0
        self.clock = Clock(lambda: self.now, lambda: 0)


def gate(at: At, **settings: object) -> Gate:
    return Gate(FakeAgents(), ApiSettings.model_validate(settings), at.clock, Meters(CollectorRegistry()))


def status(gate: Gate, token: str | None, host: str = HERE) -> int:
    try:
        gate.admit(token, host)
    except Problem as problem:
        if problem.status == 429:
            retry_after = (problem.headers or {})["Retry-After"]
            return 429 if int(retry_after) >= 1 else 0
        return problem.status
    return 200


def test_a_token_may_ask_so_often() -> None:
    at = At()
    door = gate(at, requests_per_second=5)
    answers = [status(door, TOKENS["one"], host) for host in (HERE, THERE) * 20]
    assert answers.count(200) == 20, "four seconds' worth at once, wherever from"
    assert set(answers[20:]) == {429}
    assert status(door, TOKENS["two"]) == 200
    at.now += 0.2
    assert [status(door, TOKENS["one"]) for _ in range(2)] == [200, 429]


def test_wrong_tokens_are_slowed_and_lock_nobody_out() -> None:
    at = At()
    door = gate(at, failures_per_minute=6)
    wrong = "ht_00000001_" + "A" * 43
    assert [status(door, token) for token in (wrong, None, "", "x") * 2] == [401] * 6 + [429] * 2
    assert status(door, TOKENS["one"]) == 200
    assert status(door, wrong, THERE) == 401
    at.now += 10
    assert [status(door, wrong) for _ in range(2)] == [401, 429]


def test_an_address_may_ask_so_often() -> None:
    door = gate(At(), requests_per_second_per_address=2)
    for _ in range(8):
        door.knock(HERE)
    with pytest.raises(Problem, match="from this address") as refused:
        door.knock(HERE)
    assert refused.value.status == 429
    door.knock(THERE)


def test_what_counts_as_one_address() -> None:
    assert network("192.0.2.1") == network("::ffff:192.0.2.1") != network("192.0.2.2")
    assert network("2001:db8::1") == network("2001:db8::ffff:1") != network("2001:db8:0:1::1")
    assert network("fe80::1%eth0") == network("fe80::2")
    assert network("") == ""


def test_a_missing_token_and_a_wrong_one_are_told_apart() -> None:
    door = gate(At())
    for token, challenge in (
        (None, 'Bearer realm="hushtap"'),
        ("x", 'Bearer realm="hushtap", error="invalid_token"'),
    ):
        with pytest.raises(Problem) as refused:
            door.admit(token, HERE)
        assert refused.value.headers == {"WWW-Authenticate": challenge}
