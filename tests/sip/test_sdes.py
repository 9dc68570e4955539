from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.rtp.suites import SUITES
from gateway.sip import sdes

SECRET = bytes(range(30))
INLINE = "inline:" + base64.b64encode(SECRET).decode()
CM = "AES_CM_128_HMAC_SHA1_80"


@pytest.mark.parametrize(
    ("line", "mki"),
    [
        (f"1 {CM} {INLINE}", b""),
        (f"1 {CM} {INLINE}|2^20", b""),
        (f"1 {CM} {INLINE}|1048576|1:4", b"\0\0\0\1"),
        (f"1 {CM} {INLINE}|3:1", b"\3"),
        (f"1 {CM} {INLINE}|2^31 WSH=1024 UNENCRYPTED_SRTCP -PRIVATE=7", b""),
    ],
)
def test_lines_that_are_taken(line: str, mki: bytes) -> None:
    crypto = sdes.parse(line)
    assert crypto is not None
    assert (crypto.tag, crypto.suite, crypto.keys[0].secret, crypto.keys[0].mki) == (1, CM, SECRET, mki)


@pytest.mark.parametrize(
    "line",
    [
        "",
        f"1 F8_128_HMAC_SHA1_80 {INLINE}",
        f"1 {CM} {INLINE[:-4]}",
        f"1 {CM} inline:!!!!",
        f"x {CM} {INLINE}",
        f"1 {CM} {INLINE} UNENCRYPTED_SRTP",
        f"1 {CM} {INLINE} KDR=4",
        f"1 {CM} {INLINE} NEW_PARAMETER",
        f"1 {CM} {INLINE}|2^20|256:1",
        f"1 {CM} {INLINE}|2^20|1:200",
        f"1 {CM} {INLINE};{INLINE}",
        f"1 {CM} {INLINE}|1:1;{INLINE}|2:2",
    ],
)
def test_lines_that_are_not(line: str) -> None:
    assert sdes.parse(line) is None


def test_several_keys_with_identifiers() -> None:
    crypto = sdes.parse(f"7 {CM} {INLINE}|2^20|1:1;{INLINE}|2^20|2:1")
    assert crypto is not None
    assert [key.mki for key in crypto.keys] == [b"\1", b"\2"]


def test_the_first_that_is_understood_is_chosen_and_answered() -> None:
    crypto = sdes.choose([f"1 UNKNOWN {INLINE}", f"2 AES_CM_128_HMAC_SHA1_32 {INLINE}", f"3 {CM} {INLINE}"])
    assert crypto is not None
    line = sdes.answer(crypto, SECRET)
    assert line == f"2 AES_CM_128_HMAC_SHA1_32 {INLINE}"
    assert sdes.choose(["nothing"]) is None


@given(st.sampled_from(sorted(SUITES)), st.data())
def test_our_answer_is_a_line_others_can_take(suite: str, data: st.DataObject) -> None:
    secret = data.draw(st.binary(min_size=sdes.secret_bytes(suite), max_size=sdes.secret_bytes(suite)))
    offered = sdes.parse(f"5 {suite} inline:{base64.b64encode(bytes(sdes.secret_bytes(suite))).decode()}")
    assert offered is not None
    answered = sdes.parse(sdes.answer(offered, secret))
    assert answered is not None
    assert (answered.tag, answered.suite, answered.keys[0].secret) == (5, suite, secret)


@given(st.text())
def test_any_text_is_taken_or_not(text: str) -> None:
    sdes.parse(text)
