from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.siprec.multipart import MAX_PARTS, MultipartError, Part, split

BODY = b"""preamble
--foo
Content-Type: application/sdp

v=0

--foo
c: Application/RS-Metadata+XML ; charset=utf-8
Content-Disposition: recording-session

<a>
--food is no boundary
</a>
--foo--
epilogue
--foo
"""
PARTS = (
    Part("application/sdp", b"v=0\n"),
    Part("application/rs-metadata+xml", b"<a>\n--food is no boundary\n</a>"),
)


def test_parts() -> None:
    assert split('Multipart/Mixed; boundary="foo"', BODY) == PARTS
    crlf = split("multipart/mixed;x=y;boundary=foo", BODY.replace(b"\n", b"\r\n"))
    assert crlf == tuple(Part(p.media_type, p.body.replace(b"\n", b"\r\n")) for p in PARTS)


def test_missing_end_and_missing_headers() -> None:
    assert split("multipart/mixed;boundary=b", b"--b\r\n\r\ntext\r\n--b\nContent-Type: a/b\n\nlast") == (
        Part("text/plain", b"text"), Part("a/b", b"last")
    )  # fmt: skip


def test_one_part() -> None:
    assert split("Application/SDP; x=y", b"v=0") == (Part("application/sdp", b"v=0"),)
    assert len(split("multipart/mixed;boundary=b", b"--b\nContent-Type: a/b\n\nx\n--b--")) == 1


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/mixed", BODY),
        ("multipart/mixed; boundary=", BODY),
        ('multipart/mixed; boundary="{"', BODY),
        ("multipart/mixed; boundary=bar", BODY),
        ("multipart/mixed; boundary=b", b"--b\n\nx\n" * (MAX_PARTS + 2)),
    ],
)
def test_unusable(kind: str, body: bytes) -> None:
    with pytest.raises(MultipartError):
        split(kind, body)


@given(st.text(max_size=30), st.binary(max_size=60), st.integers(0, len(BODY)))
def test_only_multipart_error(params: str, noise: bytes, at: int) -> None:
    for kind in ("multipart/mixed;boundary=foo", "multipart/mixed;" + params):
        try:
            split(kind, BODY[:at] + noise + BODY[at:])
        except MultipartError:
            continue


def test_every_prefix_is_split_or_refused() -> None:
    for length in range(len(BODY)):
        with suppress(MultipartError):
            assert len(split("multipart/mixed;boundary=foo", BODY[:length])) <= 2
