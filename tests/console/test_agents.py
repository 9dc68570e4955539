from __future__ import annotations

import re

import pytest

from gateway.console.agents import TOKEN, Right, digest, identify, issue


def test_a_token_is_recognised_and_nothing_else_is() -> None:
    agent, token = issue("desk", frozenset({"201"}), frozenset(Right), "", ())
    other, _ = issue("other", None, frozenset(), "", ())
    agents = {agent.id: agent, other.id: other}
    assert identify(token, agents) is agent
    assert identify(token.replace(agent.id, other.id), agents) is None
    for place in range(len(token)):
        for wrong in ("A", "B", "é", "\n", ""):
            changed = token[:place] + wrong + token[place + 1 :]
            assert changed == token or identify(changed, agents) is None
    assert identify(token + "\n", agents) is None
    assert identify(token, {}) is None


def test_tokens_differ_and_are_of_256_bits() -> None:
    tokens = {issue("", None, frozenset(), "", ())[1] for _ in range(50)}
    assert len(tokens) == 50
    assert all(TOKEN.fullmatch(token) for token in tokens)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]+", token) for token in tokens), "to be put into URLs as they are"


def test_an_id_that_is_taken_is_not_given_again(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = iter(["0000000a", "0000000a", "0000000b"])
    monkeypatch.setattr("secrets.token_hex", lambda _: next(ids))
    assert issue("", None, frozenset(), "", ("0000000a",))[0].id == "0000000b"


def test_neither_secret_nor_person_is_printed() -> None:
    agent, token = issue("Alice", frozenset({"201"}), frozenset(Right), "", ())
    secret = token[12:]
    for hidden in (secret, digest(secret).hex(), repr(digest(secret)), "Alice", "201"):
        assert hidden not in repr(agent)
