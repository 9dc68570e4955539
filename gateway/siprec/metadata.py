"""Recording metadata (RFC 7865) in its standard form and its dialects: who took part, whose voice is where.

Elements and attributes are found by local name, since clients disagree on the namespace.

    MetadataError   the XML cannot be read or is hostile; the message is one sentence without its contents
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from urllib.parse import unquote

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import ParseError, fromstring

from gateway.recording.model import Personal
from gateway.siprec.mending import mended

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

MAX_BYTES = 262_144  # conferences of a hundred parties with vendor extensions stay below
MAX_DEPTH = 32  # the standard form has five levels
MAX_PARTIES = 256  # participants, and streams, kept of one document

# Users that stand for nobody yet, or for nobody who says who it is.
_NOBODY = frozenset(
    {"anonymous", "dummy", "invalid", "none", "null", "private", "restricted", "unavailable", "unknown"}
)
_ADDRESS = re.compile(r"(?:sips?|tel):[^>;,\s\"]+|\+?\d[\d().\- ]*", re.IGNORECASE)
_CALLER_FIELDS = ("fromhdr", "from", "callingparty", "callingnumber", "calling", "caller")
_CALLEE_FIELDS = ("tohdr", "to", "calledparty", "callednumber", "called", "callee")
_NUMBER = re.compile(r"\+?[\d().\- ]+", re.ASCII)

_XML_ERRORS = (DefusedXmlException, ParseError, ValueError, LookupError)

Links = Mapping[str, tuple[str, ...]]


class MetadataError(Exception):
    """The metadata cannot be read at all."""


@dataclass(frozen=True, slots=True)
class MetadataParticipant:
    id: str
    aor: Personal | None = None
    user: Personal | None = (
        None  # the number of a sip or tel URI, else its user part; None where it stands for nobody
    )
    name: Personal | None = None
    calling: bool | None = None  # what the client says of who placed the call
    agent: bool | None = None  # what the client says of whose side this is

    @property
    def real(self) -> bool:
        """Whether it names somebody, not a stand-in."""
        return self.user is not None


@dataclass(frozen=True, slots=True)
class MetadataStream:
    id: str
    label: str | None = None
    session_id: str | None = None


@dataclass(frozen=True, slots=True)
class Metadata:
    data_mode: str = "complete"
    session_id: str | None = None
    group_id: str | None = None
    participants: tuple[MetadataParticipant, ...] = ()
    streams: tuple[MetadataStream, ...] = ()
    sends: Links = field(default_factory=dict)  # participant id -> ids of the streams with this party's voice
    receives: Links = field(default_factory=dict)
    left: frozenset[str] = frozenset()  # participants who are in the session no more
    notes: tuple[str, ...] = ()  # what was not understood; no personal data


def by_place(place: int) -> str:
    """Stands for the label of a stream that is named by its m-line's place."""
    return f"#{place}"


def parse(data: bytes) -> Metadata:
    """Read one metadata document; oddities become notes. Raises MetadataError."""
    root, notes = _tree(data)
    elements = list(_walk(root))
    sessions = [e for e in elements if _name(e) == "session"]
    participants = _participants(elements, notes)
    streams = _streams(elements, notes)
    found = Metadata(
        _data_mode(root),
        next((_id(e, "session") for e in sessions if _id(e, "session")), None),
        _group(elements),
        participants,
        streams,
        _links(elements, "send"),
        _links(elements, "recv"),
        _left(elements),
        tuple(dict.fromkeys(notes)),
    )
    return _with_call_data(found, elements)


def merge(old: Metadata | None, new: Metadata) -> Metadata:
    """What is known after an update: `complete` replaces all, `partial` only what it names."""
    if old is None or new.data_mode != "partial":
        return new
    parties = {p.id: p for p in old.participants}
    for update in new.participants:
        known = parties.get(update.id, update)
        parties[update.id] = replace(
            update,
            aor=update.aor or known.aor,
            user=update.user or known.user,
            name=update.name or known.name,
            calling=known.calling if update.calling is None else update.calling,
            agent=known.agent if update.agent is None else update.agent,
        )
    streams = {s.id: s for s in old.streams} | {s.id: s for s in new.streams}
    return Metadata(
        old.data_mode,
        new.session_id or old.session_id,
        new.group_id or old.group_id,
        tuple(parties.values())[:MAX_PARTIES],
        tuple(streams.values())[:MAX_PARTIES],
        {**old.sends, **new.sends},
        {**old.receives, **new.receives},
        (old.left - {p.id for p in new.participants} - new.sends.keys()) | new.left,
        new.notes,
    )


def without_address(metadata: Metadata, own: Iterable[str]) -> Metadata:
    """Takes away what participants have of the recorder's own addresses, which some clients put there."""
    ours = {address_of(uri) for uri in own}
    strangers = tuple(
        replace(p, aor=None, user=None) if p.aor and address_of(p.aor.reveal()) in ours else p
        for p in metadata.participants
    )
    if strangers == metadata.participants:
        return metadata
    note = "a participant has the recorder's own address"
    return replace(metadata, participants=strangers, notes=(*metadata.notes, note))


def address_of(uri: str) -> str:
    """User and host of a URI, to compare by."""
    rest = uri.strip(" <>").partition(":")[2] or uri
    user, at, host = rest.partition(";")[0].rpartition("@")
    return f"{user}{at}{re.sub(r':[0-9]+$', '', host)}".lower()


def _tree(data: bytes) -> tuple[Element, list[str]]:
    if len(data) > MAX_BYTES:
        raise MetadataError(f"metadata of {len(data)} bytes; at most {MAX_BYTES} are read")
    data = data.strip(b"\0 \t\r\n")
    try:
        return fromstring(data, forbid_dtd=True), []
    except _XML_ERRORS as error:
        first = error
    for attempt, note in () if isinstance(first, DefusedXmlException) else mended(data):
        try:
            return fromstring(attempt, forbid_dtd=True), [note]
        except DefusedXmlException as error:
            raise _unreadable(error) from error
        except _XML_ERRORS:
            continue
    raise _unreadable(first) from first


def _unreadable(error: Exception) -> MetadataError:
    if isinstance(error, DefusedXmlException):
        return MetadataError("the metadata declares a document type or entities, which are never read")
    return MetadataError("the metadata is not well-formed XML")


def _walk(root: Element) -> Iterator[Element]:
    """Every element in document order, without recursion. Raises MetadataError when nested too deep."""
    stack = [(root, 1)]
    while stack:
        element, depth = stack.pop()
        if depth > MAX_DEPTH:
            raise MetadataError(f"the metadata is nested deeper than {MAX_DEPTH} elements")
        yield element
        stack += [(child, depth + 1) for child in reversed(element)]


def _local(name: object) -> str:
    return str(name).rpartition("}")[2].rpartition(":")[2].lower()


def _name(element: Element) -> str:
    return _local(element.tag)


def _attribute(element: Element, *names: str) -> str | None:
    found = {_local(key): value for key, value in element.attrib.items()}
    return next((found[name].strip() for name in names if found.get(name, "").strip()), None)


def _id(element: Element, kind: str) -> str | None:
    return _attribute(element, f"{kind}_id", "id")


def _text(element: Element, name: str) -> str | None:
    """The first non-empty text of a descendant of this name."""
    for found in element.iter():
        if _name(found) == name and (found.text or "").strip():
            return str(found.text).strip()
    return None


def _data_mode(root: Element) -> str:
    mode = _text(root, "datamode") or _attribute(root, "datamode") or "complete"
    return "partial" if mode.lower() == "partial" else "complete"


def _group(elements: list[Element]) -> str | None:
    groups = (e for e in elements if _name(e) == "group")
    named = (i for e in groups if (i := _id(e, "group")))
    attributes = (i for e in elements if (i := _attribute(e, "group_id")))
    references = (
        text for e in elements if _name(e) in ("group-ref", "group_id") and (text := (e.text or "").strip())
    )
    return next(iter((*named, *attributes, *references)), None)


def _participants(elements: list[Element], notes: list[str]) -> tuple[MetadataParticipant, ...]:
    found: dict[str, MetadataParticipant] = {}
    for element in (e for e in elements if _name(e) == "participant" and not _is_reference(e)):
        identity = _id(element, "participant")
        if identity is None:
            notes.append("a participant has no id")
            identity = f"#{len(found)}"
        if len(found) == MAX_PARTIES:
            notes.append(f"participants past the first {MAX_PARTIES} are left out")
            break
        aor = _aor(element)
        if aor is None:
            notes.append("a participant has no address")
        name = _text(element, "name")
        user = user_of(aor) if aor else None
        found[identity] = MetadataParticipant(
            identity,
            Personal(aor) if aor else None,
            Personal(user) if user else None,
            Personal(name) if name else None,
            _flag(element, "callingparty"),
        )
    return tuple(found.values())


def _is_reference(element: Element) -> bool:
    """Whether it only names a participant described elsewhere."""
    return not element.attrib and not len(element) and bool((element.text or "").strip())


def _flag(element: Element, name: str) -> bool | None:
    text = (_text(element, name) or "").lower()
    return text == "true" if text in ("true", "false") else None


def _left(elements: list[Element]) -> frozenset[str]:
    """Who has a time of leaving the session."""
    associations = (e for e in elements if _name(e) in ("participantsessionassoc", "participant"))
    return frozenset(
        party
        for e in associations
        if _text(e, "disassociate-time")
        and (party := _attribute(e, "participant_id", "participant") or _id(e, "participant"))
    )


def _with_call_data(found: Metadata, elements: list[Element]) -> Metadata:
    """The parties of a `callData` extension, which are the real ones, put in the participants' place."""
    data = next((e for e in elements if _name(e) == "calldata"), None)
    if data is None:
        return found
    real = [_party(data, fields) for fields in (_CALLER_FIELDS, _CALLEE_FIELDS)]
    people = list(found.participants)
    if not people:
        made = [replace(p, id=f"#{place}") for place, p in enumerate(real) if p]
        return replace(found, participants=tuple(made))
    users = [p.user for p in people]
    caller = real[0]
    if (caller and caller.user in users[1:]) or (real[1] and users[0] and real[1].user == users[0]):
        real.reverse()
    for place, party in enumerate(real[: len(people)]):
        if party:
            name = party.name or people[place].name
            people[place] = replace(
                people[place], aor=party.aor, user=party.user, name=name, calling=party is caller
            )
    return replace(found, participants=tuple(people))


def _party(data: Element, fields: tuple[str, ...]) -> MetadataParticipant | None:
    text = next((text for name in fields if (text := _text(data, name))), "")
    address = _ADDRESS.search(text)
    if not address:
        return None
    user = user_of(address[0])
    name = text[: address.start()].strip(' "<')
    return MetadataParticipant(
        "", Personal(address[0]), Personal(user) if user else None, Personal(name) if name else None
    )


def _aor(element: Element) -> str | None:
    for found in element.iter():
        if _name(found) == "nameid" and (aor := _attribute(found, "aor")):
            return aor
    return _text(element, "aor") or _attribute(element, "aor")


def user_of(aor: str) -> str | None:
    """The number in a sip or tel URI without its visual separators; other users as they are."""
    scheme, colon, rest = aor.strip(" <>").partition(":")
    if not colon or scheme.lower() not in ("sip", "sips", "tel"):
        rest = aor.strip(" <>")
    user = unquote(rest.partition("@")[0].partition(";")[0]).strip()
    if _NUMBER.fullmatch(user) and any(map(str.isdigit, user)):
        user = re.sub(r"[().\- ]", "", user)
    return None if user.lower() in _NOBODY else user or None


def _streams(elements: list[Element], notes: list[str]) -> tuple[MetadataStream, ...]:
    found: dict[str, MetadataStream] = {}
    for element in (e for e in elements if _name(e) == "stream"):
        label = _text(element, "label") or _attribute(element, "label")
        identity = _id(element, "stream")
        if identity is None:
            notes.append("a stream has no id")
            identity = f"#{label or len(found)}"
        if len(found) == MAX_PARTIES:
            notes.append(f"streams past the first {MAX_PARTIES} are left out")
            break
        if identity in found and found[identity].label != label:
            identity = f"{identity}#{label}"  # an id that serves two streams
        found[identity] = MetadataStream(identity, label, _attribute(element, "session_id", "session"))
    return tuple(found.values())


def _links(elements: list[Element], direction: str) -> Links:
    """Who sends or receives which stream: in an association of its own, or within the participant."""
    links: dict[str, tuple[str, ...]] = {}
    for element in elements:
        if _name(element) not in ("participantstreamassoc", "participant"):
            continue
        party = _attribute(element, "participant_id", "participant") or _id(element, "participant")
        if party and _name(element) == "participantstreamassoc" and _text(element, "disassociate-time"):
            links.setdefault(party, ())
            continue
        streams = [(e.text or "").strip() for e in element.iter() if _name(e) == direction]
        if party and any(streams):
            links[party] = (*links.get(party, ()), *(stream for stream in streams if stream))
    return {party: tuple(dict.fromkeys(streams)) for party, streams in links.items()}
