from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.recording.model import Personal
from gateway.siprec.metadata import (
    MAX_BYTES,
    MAX_DEPTH,
    MAX_PARTIES,
    MetadataError,
    MetadataParticipant,
    merge,
    parse,
    user_of,
)

SAMPLES = Path(__file__).parent / "samples"


def document(name: str) -> bytes:
    text = (SAMPLES / f"{name}.txt").read_text(encoding="utf-8")
    start = min(at for at in (text.find("<?xml"), text.find("<tns:")) if at >= 0)
    return text[start : text.index("\n--", start)].encode()


STANDARD = document("invite_two_legs")


def test_standard_form() -> None:
    metadata = parse(STANDARD)
    assert (metadata.data_mode, metadata.session_id, metadata.notes) == (
        "complete",
        "hVpd7YQgRW2nD22h7q60JQ==",
        (),
    )
    ada, paul = metadata.participants
    assert ada == MetadataParticipant(
        "srfBElmCRp2QB23b7Mpk0w==",
        Personal("sip:+390612345678@example.com;user=phone"),
        Personal("+390612345678"),
        Personal("Ada Bianchi"),
    )
    assert paul.user == "1002"
    assert [stream.label for stream in metadata.streams] == ["96", "97"]
    assert metadata.sends == {ada.id: ("UAAMm5GRQKSCMVvLyl4rFw==",), paul.id: ("i1Pz3to5hGk8fuXl+PbwCw==",)}
    assert metadata.receives[ada.id] == metadata.sends[paul.id]


def test_dialect() -> None:
    metadata = parse(document("invite_metadata_first"))
    assert [(p.user, p.name) for p in metadata.participants] == [
        ("+12015550123", "Smith & Sons"),
        ("2001", None),
    ]
    assert metadata.sends == {"p1": ("stream/a=",), "p2": ("stream/b=",)}
    assert (metadata.session_id, metadata.group_id) == ("s1", "group/1+=")
    assert metadata.notes == ("the metadata has unescaped ampersands",)


def test_persons_are_not_printed() -> None:
    assert "Bianchi" not in repr(parse(STANDARD))
    assert "0612345678" not in str(parse(STANDARD))


def test_oddities_become_notes() -> None:
    metadata = parse(
        b"<recording><participant/><stream id=''><label>10</label></stream><stream id='s'/></recording>"
    )
    assert [p.id for p in metadata.participants] == ["#0"]
    assert [(s.id, s.label) for s in metadata.streams] == [("#10", "10"), ("s", None)]
    assert set(metadata.notes) == {
        "a participant has no id",
        "a participant has no address",
        "a stream has no id",
    }


def test_partial_changes_only_what_it_names() -> None:
    old = parse(STANDARD)
    ada, paul = old.participants
    partial = parse(
        f"<recording dataMode='partial'><participant participant_id='{paul.id}'><nameID aor='sip:1003@pbx'/></participant>"
        "<stream stream_id='new'><label>98</label></stream></recording>".encode()
    )
    merged = merge(old, partial)
    assert merged.participants[0] == ada
    assert (merged.participants[1].user, merged.participants[1].name) == ("1003", "Paul Kemp")
    assert [stream.label for stream in merged.streams] == ["96", "97", "98"]
    assert merged.sends == old.sends
    assert merged.session_id == old.session_id


def test_complete_replaces_all() -> None:
    new = parse(b"<recording><datamode>complete</datamode><participant id='x'/></recording>")
    assert merge(parse(STANDARD), new) == new
    assert merge(None, new) == new


@pytest.mark.parametrize(
    ("aor", "user"),
    [
        ("sip:alice@example.com", "alice"),
        ("sips:+1-201-555-0123;ext=9@h", "+12015550123"),
        ("tel:+39(06)123.45", "+390612345"),
        ("1001@10.0.0.1", "1001"),
        ("<sip:%2B390@h>", "+390"),
        ("sip:@h", None),
        ("sip:j.doe-1@h", "j.doe-1"),
    ],
)
def test_user(aor: str, user: str | None) -> None:
    assert user_of(aor) == user


BOMB = b'<!DOCTYPE r [<!ENTITY a "x"><!ENTITY b "&a;&a;">]><recording>&b;</recording>'


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<recording>",
        b"not xml",
        BOMB,
        b"<a>" * (MAX_DEPTH + 1) + b"</a>" * (MAX_DEPTH + 1),
        b"<a>" + b" " * MAX_BYTES + b"</a>",
    ],
)
def test_unreadable_or_hostile(data: bytes) -> None:
    with pytest.raises(MetadataError):
        parse(data)


@given(st.data())
def test_mutations_raise_only_metadata_error(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(STANDARD)))
    noise = data.draw(
        st.binary(max_size=6) | st.sampled_from([b"<participant>", b"</x>", b"<!DOCTYPE a>", b"&", b"'"])
    )
    try:
        metadata = parse(STANDARD[:at] + noise + STANDARD[at + data.draw(st.integers(0, 6)) :])
    except MetadataError:
        return
    merge(parse(STANDARD), metadata)


def test_every_prefix_is_refused_and_tails_change_nothing() -> None:
    body = STANDARD.strip()
    for length in range(0, len(body), 7):
        with pytest.raises(MetadataError):
            parse(body[:length])
    assert parse(body + b"\r\n\0") == parse(body)


def test_parties_are_bounded() -> None:
    many = "".join(f"<participant id='{n}'/><stream id='{n}'/>" for n in range(MAX_PARTIES + 1))
    metadata = parse(f"<recording>{many}</recording>".encode())
    assert len(metadata.participants) == len(metadata.streams) == MAX_PARTIES
    assert any("left out" in note for note in metadata.notes)


def test_long_addresses_are_read_in_linear_time() -> None:
    assert user_of("1" * 200_000 + "x")
