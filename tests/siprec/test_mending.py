"""Metadata that is nearly XML."""

from __future__ import annotations

import pytest

from gateway.siprec.metadata import MetadataError, parse

DOCUMENT = "<recording><participant id='p'><nameID aor='{aor}'><name>{name}</name></nameID></participant></recording>"


def named(document: bytes) -> tuple[str | None, str | None, tuple[str, ...]]:
    found = parse(document)
    (party,) = found.participants
    return (
        party.user.reveal() if party.user else None,
        party.name.reveal() if party.name else None,
        found.notes,
    )


@pytest.mark.parametrize(
    ("aor", "name", "user", "shown", "repaired"),
    [
        ("sip:1@a", "Tom & Co", "1", "Tom & Co", "unescaped ampersands"),
        ("sip:1@a", "A &nbsp; B", "1", "A &nbsp; B", "unescaped ampersands"),
        ("sip:a&b@a", "x", "a&b", "x", "unescaped ampersands"),
        ("sip:1@a", "Tom <tom@a>", "1", "Tom <tom@a>", "unescaped brackets"),
        ("<sip:1@a>", "x", "1", "x", "unescaped brackets"),
        ("sip:1@a", "R&D <lab>", "1", "R&D <lab>", "unescaped ampersands and unescaped brackets"),
    ],
)
def test_names_and_addresses_that_are_not_escaped(
    aor: str, name: str, user: str, shown: str, repaired: str
) -> None:
    document = DOCUMENT.format(aor=aor, name=name).encode()
    assert named(document) == (user, shown, (f"the metadata has {repaired}",))


def test_octets_that_are_no_utf_8() -> None:
    document = DOCUMENT.format(aor="sip:1@a", name="Jürgen").encode("latin-1")
    assert named(document)[1] == "Jürgen"
    declared = (
        b"<?xml version='1.0' encoding='utf-16'?>" + DOCUMENT.format(aor="sip:1@a", name="Jürgen").encode()
    )
    assert named(declared)[1] == "Jürgen"


def test_prefixes_that_are_not_declared() -> None:
    document = DOCUMENT.format(aor="sip:1@a", name="x").replace("<", "<tns:").replace("<tns:/", "</tns:")
    assert named(document.encode())[:2] == ("1", "x")


@pytest.mark.parametrize("document", [b"", b"<a", b"<a></b>", b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;& </a>"])
def test_what_cannot_be_mended(document: bytes) -> None:
    with pytest.raises(MetadataError):
        parse(document)
