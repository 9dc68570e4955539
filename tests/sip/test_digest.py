from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sip import digest
from gateway.sip.digest import (
    NONCE_SECONDS,
    Algorithm,
    Authenticator,
    Credential,
    CredentialsError,
    Verdict,
    parse_credentials,
    parse_digest,
)
from gateway.sip.message import Headers, Request

HOST = "192.0.2.2"
URI = "sip:srs@192.0.2.1"
BOTH = tuple(Algorithm)
USERS = [Credential.of("sbc", "hushtap", algorithm, "secret") for algorithm in BOTH]


def authenticator(algorithms: Sequence[Algorithm] = BOTH) -> Authenticator:
    numbers = count()
    return Authenticator("hushtap", USERS, algorithms, lambda: f"token{next(numbers)}")


def challenged(server: Authenticator, now: float = 0.0, host: str = HOST) -> dict[str, str]:
    found = parse_digest(server.challenge(host, now)[0][1])
    assert found
    return found


def answer(
    challenge: dict[str, str], nc: int | None = 1, password: str = "secret", **changed: str
) -> Request:
    """An INVITE by a client that computes as RFC 7616 section 3.4 says, written apart from what is tested."""
    algorithm = changed.get("algorithm", challenge["algorithm"])
    make = {"SHA-256": hashlib.sha256, "MD5": hashlib.md5}[algorithm]

    def h(*parts: str) -> str:
        return make(":".join(parts).encode()).hexdigest()

    a1, a2 = h(changed.get("username", "sbc"), challenge["realm"], password), h("INVITE", URI)
    middle = [] if nc is None else [f"{nc:08x}", "0a4f", "auth"]
    values = {
        "username": "sbc", "realm": challenge["realm"], "nonce": challenge["nonce"], "uri": URI,
        "response": h(a1, challenge["nonce"], *middle, a2), "cnonce": "0a4f",
    } | changed  # fmt: skip
    text = ", ".join(f'{name}="{value}"' for name, value in values.items() if name != "algorithm")
    tail = "" if nc is None else f", qop=auth, nc={nc:08x}"
    return request(f"Digest {text}, algorithm={algorithm}{tail}")


def request(authorization: str) -> Request:
    return Request("INVITE", URI, Headers((("Authorization", authorization),)))


def test_the_best_algorithm_is_asked_for_first() -> None:
    fields = authenticator((Algorithm.MD5, Algorithm.SHA256)).challenge(HOST, 0)
    assert [parse_digest(value) for _, value in fields] == [
        {"realm": "hushtap", "nonce": parse["nonce"], "qop": "auth", "algorithm": name}
        for (_, value), name in zip(fields, ("SHA-256", "MD5"), strict=True)
        if (parse := parse_digest(value))
    ]
    assert "stale=true" in authenticator().challenge(HOST, 0, stale=True)[0][1]


def test_rfc_7616_example(monkeypatch: pytest.MonkeyPatch) -> None:
    """Section 3.9.1, both algorithms; its nonce was not made here, so what is right is stale."""
    for algorithm, response in (
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
    ):
        mufasa = Credential.of("Mufasa", "http-auth@example.org", Algorithm(algorithm), "Circle of Life")
        server = Authenticator(mufasa.realm, [mufasa], BOTH, lambda: "t")
        given = (
            f'Digest username="Mufasa", realm="{mufasa.realm}", uri="/dir/index.html", algorithm={algorithm}, '
            'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", nc=00000001, '
            'cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", qop=auth, '
            f'response="{response}", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
        )
        get = Request("GET", "/dir/index.html", Headers((("Authorization", given),)))
        assert server.check(get, HOST, 0) is Verdict.STALE
        wrong = Request(
            "GET", "/", Headers((("Authorization", given.replace("nc=00000001", "nc=00000002")),))
        )
        assert server.check(wrong, HOST, 0) is Verdict.WRONG


@pytest.mark.parametrize("algorithm", BOTH)
def test_right_password(algorithm: Algorithm) -> None:
    server = authenticator((algorithm,))
    assert server.check(answer(challenged(server)), HOST, 1) is Verdict.AUTHENTIC


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({"password": "Secret"}, Verdict.WRONG),
        ({"username": "nobody"}, Verdict.WRONG),
        ({"realm": "elsewhere"}, Verdict.ABSENT),
        ({"algorithm": "MD5"}, Verdict.WRONG),
        ({"nonce": "0-made-up"}, Verdict.WRONG),
        ({"response": ""}, Verdict.WRONG),
        ({"response": "ä"}, Verdict.WRONG),
        ({"nc": 0}, Verdict.WRONG),
        ({"nc": None}, Verdict.WRONG),
    ],
)
def test_what_does_not_get_in(changes: dict[str, str], verdict: Verdict) -> None:
    server = authenticator((Algorithm.SHA256,))
    assert server.check(answer(challenged(server), **changes), HOST, 1) is verdict  # type: ignore[arg-type]


def test_a_nonce_has_its_time_and_host() -> None:
    server = authenticator()
    good = answer(challenged(server, 10))
    assert server.check(good, HOST, 10.1 + NONCE_SECONDS) is Verdict.STALE
    assert server.check(good, "192.0.2.3", 11) is Verdict.STALE
    assert server.check(good, HOST, 11) is Verdict.AUTHENTIC
    assert authenticator().check(good, HOST, 11) is Verdict.AUTHENTIC, "the same secret"
    assert Authenticator("hushtap", USERS, BOTH, lambda: "other").check(good, HOST, 11) is Verdict.STALE


def test_a_count_is_taken_once() -> None:
    server = authenticator()
    challenge = challenged(server)
    order = [1, 3, 2, 3, 100, 37, 36, 100, 0xFFFFFFFF]
    taken = [server.check(answer(challenge, nc), HOST, 1) is Verdict.AUTHENTIC for nc in order]
    assert taken == [True, True, True, False, True, True, False, False, True]


def test_clients_without_qop_get_one_request_a_nonce() -> None:
    server = authenticator((Algorithm.MD5,))
    challenge = challenged(server)
    assert server.check(answer(challenge, None), HOST, 1) is Verdict.AUTHENTIC
    assert server.check(answer(challenge, None), HOST, 1) is Verdict.STALE


def test_forgotten_nonces_are_stale_not_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digest, "MAX_NONCES", 3)
    server = authenticator()
    challenges = [challenged(server, at) for at in range(5)]
    for challenge in challenges:
        assert server.check(answer(challenge), HOST, 6) is Verdict.AUTHENTIC
    assert [server.check(answer(challenge, 2), HOST, 6) for challenge in challenges] == [
        Verdict.STALE, Verdict.STALE, Verdict.AUTHENTIC, Verdict.AUTHENTIC, Verdict.AUTHENTIC
    ]  # fmt: skip


def test_users_are_exchanged() -> None:
    server = authenticator()
    challenge = challenged(server)
    server.exchange([Credential.of("sbc", "hushtap", Algorithm.SHA256, "new")])
    assert server.check(answer(challenge), HOST, 1) is Verdict.WRONG
    assert server.check(answer(challenge, password="new"), HOST, 1) is Verdict.AUTHENTIC


def test_credentials_are_read_as_written() -> None:
    text = "# who may call\n\n" + "\n".join(map(str, USERS))
    assert list(parse_credentials(text)) == USERS
    for line in (
        "sbc:hushtap:secret",
        "sbc:hushtap:SHA-1:00",
        f"sbc:hushtap:MD5:{'g' * 32}",
        ":r:MD5:" + "0" * 32,
    ):
        with pytest.raises(CredentialsError, match="line 1 ") as error:
            parse_credentials(line)
        assert "sbc" not in str(error.value)


@given(st.text(max_size=200))
def test_any_header_is_judged(text: str) -> None:
    server = authenticator()
    for value in (
        text,
        "Digest " + text,
        f'Digest realm="hushtap", {text}',
        f'Digest realm="hushtap", nonce="{text}"',
    ):
        assert server.check(request(value), HOST, 0) in (Verdict.ABSENT, Verdict.WRONG)
