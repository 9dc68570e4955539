"""Digest challenges that pjsip does not know are answered all the same."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.endpoint.challenges import answered, understood
from gateway.sip.digest import parse_digest
from gateway.sip.message import Headers, Request, Response

MD5 = 'Digest realm="t", nonce="m", algorithm=MD5, qop="auth"'


def shown(*challenges: str) -> list[dict[str, str] | None]:
    answer = Response(401, "No", Headers(tuple(("WWW-Authenticate", each) for each in challenges)))
    return [parse_digest(each) for each in understood(answer).headers.all("WWW-Authenticate")]


def test_the_answer_of_rfc_7616_section_3_9_1() -> None:
    nonce = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"
    (seen,) = shown(
        f'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=SHA-256, nonce="{nonce}", '
        'opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
    )
    assert seen
    assert (seen["algorithm"], seen["qop"]) == ("MD5", "auth")
    given_ = (
        f'Digest username="Mufasa", realm="http-auth@example.org", nonce="{seen["nonce"]}", uri="/dir/index.html", response="0", '
        f'algorithm=MD5, cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", opaque="{seen["opaque"]}", qop=auth, nc=00000001'
    )
    request = answered(
        Request("GET", "/dir/index.html", Headers((("Authorization", given_),))), "Circle of Life"
    )
    made = parse_digest(request.headers.get("Authorization") or "")
    assert made
    assert made["response"] == "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"
    assert (made["nonce"], made["algorithm"], made["qop"], made["nc"]) == (
        nonce,
        "SHA-256",
        "auth",
        "00000001",
    )


def test_where_the_body_is_to_be_proved_it_is() -> None:
    (seen,) = shown('Digest realm="t", nonce="n", qop="auth-int"')
    assert seen
    value = f'Digest username="u", realm="t", nonce="{seen["nonce"]}", uri="sip:t", response="0", qop=auth, nc=00000001, cnonce="c"'
    request = Request("INVITE", "sip:t", Headers((("Proxy-Authorization", value),)), b"v=0\r\n")
    made = parse_digest(answered(request, "p").headers.get("Proxy-Authorization") or "")

    def md5(text: str) -> str:
        return hashlib.md5(text.encode()).hexdigest()  # noqa: S324

    assert made
    body = md5("v=0\r\n")
    assert made["qop"] == "auth-int"
    assert made["response"] == md5(f"{md5('u:t:p')}:n:00000001:c:auth-int:{md5(f'INVITE:sip:t:{body}')}")  # fmt: skip


@pytest.mark.parametrize(
    ("challenges", "nonce"),
    [
        ((MD5,), "m"),
        (('Digest realm="t", nonce="n"', MD5), "n"),
        (('Digest realm="t", nonce="n", algorithm=SHA-512-256, qop="auth"', MD5), "m"),
        (('Digest realm="t", nonce="n", algorithm=MD5-sess, qop="auth"', "Basic realm=t", MD5), "m"),
        (('Digest realm="t", nonce="n", qop="other"',), None),
        (("Digest ,",), None),
    ],
)
def test_the_first_that_can_be_answered_is_shown(challenges: tuple[str, ...], nonce: str | None) -> None:
    assert [each["nonce"] for each in shown(*challenges) if each] == ([nonce] if nonce else [])


def test_what_pjsip_answers_itself_passes() -> None:
    value = 'Digest username="u", realm="t", nonce="m", uri="sip:t", response="0"'
    request = Request("REGISTER", "sip:t", Headers((("Authorization", value), ("To", "<sip:u@t>"))))
    assert answered(request, "p") == request


@given(st.text(max_size=80))
def test_any_challenge_is_shown_or_left_out(text: str) -> None:
    assert len(shown("Digest " + text)) <= 1
    answered(Request("A", "b", Headers((("Authorization", "Digest " + text),))), "p")
