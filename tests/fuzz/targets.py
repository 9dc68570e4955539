"""What is fuzzed: each target takes any octets and lets nothing out but what its package documents."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from random import Random

import numpy as np

from gateway.codecs.registry import supported
from gateway.recording.engine import Engine, EngineSettings
from gateway.recording.messages import Close, LegPlan, Open, PayloadFormat
from gateway.recording.model import Role
from gateway.rtp.packets import PacketBatch
from gateway.sip import sdp
from gateway.sip.effects import Flow
from gateway.sip.errors import BadMessage
from gateway.sip.framing import StreamFramer
from gateway.sip.message import Headers, Request
from gateway.siprec import metadata, roles
from gateway.siprec.dtmf import MAX_LASTS_MS, DtmfError, key_of
from gateway.siprec.effects import Changed, Offered
from gateway.siprec.metadata import MetadataError
from gateway.siprec.multipart import MultipartError, split
from gateway.siprec.session import RecordingServer
from gateway.tap.capture import CaptureReader
from gateway.tap.dialogs import Dialogs
from gateway.tap.effects import Over, Seen
from gateway.tap.fragments import Decapsulator
from gateway.tap.signalling import Signalling
from tests.tap import building, captures, stories

FLOW = Flow("udp", ("192.0.2.20", 5060), ("192.0.2.10", 5060))
EXTENSIONS = [re.compile(r"\d{2,6}")]
TESTS = Path(__file__).parents[1]
SECOND = 1_000_000_000
SLOT = 1600
FORMATS = (
    PayloadFormat(8, "PCMA", 8000), PayloadFormat(0, "PCMU", 8000), PayloadFormat(2, "G726-32", 8000),
    PayloadFormat(4, "G723", 8000), PayloadFormat(5, "DVI4", 8000), PayloadFormat(97, "SPEEX", 16_000),
    PayloadFormat(98, "G726-24", 8000), PayloadFormat(99, "AMR", 8000), PayloadFormat(100, "OPUS", 48_000, 2),
)  # fmt: skip
PLAN = Open(
    call_id="01900000-0000-7000-8000-000000000001",
    segment_id="01900000-0000-7000-8000-000000000002",
    recording_id="01900000-0000-7000-8000-000000000003",
    key="00" * 32,
    folder="",
    started_ns=SECOND,
    started_utc_ns=SECOND,
    legs=(LegPlan(Role.EXTERNAL, FORMATS, (101,)), LegPlan(Role.AGENT, FORMATS, (101,))),
)


def sip(data: bytes) -> None:
    """Messages up to the answers of recording sessions and the last of their timers."""
    numbers = count()
    machine = RecordingServer(
        supported=supported, token=lambda: f"t{next(numbers)}", max_message_bytes=65_535, max_sessions=4
    )
    for piece in data.split(b"\0\0\0\0"):
        for effect in machine.receive(piece, FLOW, 0.0):
            if isinstance(effect, Offered) or (isinstance(effect, Changed) and effect.awaiting):
                ports = [40_000] * len(effect.streams or ())
                machine.answer(effect.session, ports, "192.0.2.10", 0.0)
    while (due := machine.next_timer()) is not None:
        machine.handle_timer(due)
    if machine.sessions():
        raise AssertionError("a session is left when every timer has run out")


def stream(data: bytes) -> None:
    """The same octets framed out of a TCP stream, whole and in two pieces, are the same messages."""
    found = []
    for cut in (0, len(data) // 2):
        framer, messages = StreamFramer(65_535), []
        try:
            for piece in (data[:cut], data[cut:]):
                messages += framer.feed(piece)
        except BadMessage:
            messages = []
        found.append(messages if not framer.broken else [])
    if found[0] != found[1]:
        raise AssertionError("where the stream is cut changes what is read")


def descriptions(data: bytes) -> None:
    try:
        offer = sdp.parse(data)
    except sdp.SdpError:
        return
    answer = sdp.answer(
        offer, supported, [40_000] * len(offer.media), "192.0.2.10", 1, 1, lambda line, size: bytes(size)
    )
    if len(sdp.parse(answer).media) != len(offer.media):
        raise AssertionError("the answer has another number of lines than the offer")
    sdp.completed(offer, sdp.open_again(offer))
    if not all(
        name.isprintable() and len(name) <= sdp.MAX_NAME for media in offer.media for name in media.named()
    ):
        raise AssertionError("a name would steer a terminal")


def documents(data: bytes) -> None:
    """Metadata, merged with itself, and the roles that follow."""
    try:
        found = metadata.parse(data)
    except MetadataError:
        return
    merged = metadata.merge(found, found)
    labels = [each.label for each in merged.streams[:2]] or [None]
    assigned = roles.assign(merged, labels, EXTENSIONS, "first")
    if len(assigned.roles) != len(labels):
        raise AssertionError("a line has no role")


def bodies(data: bytes) -> None:
    kind, _, body = data.partition(b"\n")
    try:
        split(kind.decode("utf-8", "replace"), body)
    except MultipartError:
        return


def informing(data: bytes) -> None:
    """What an INFO of this type and body tells of."""
    kind, _, body = data.partition(b"\n")
    fields = (("Content-Type", kind.decode("utf-8", "replace")),)
    try:
        told = key_of(Request("INFO", "sip:a", Headers(fields), body))
    except DtmfError:
        return
    if told and not 0 <= told[1] <= MAX_LASTS_MS:
        raise AssertionError("a key sounds for longer than any key does")


def media(data: bytes) -> None:
    """Datagrams, each after its length, through a whole engine to sealed files."""
    engine = Engine(EngineSettings(4, SECOND, 60 * SECOND, SECOND // 10), Random(1).randbytes)
    engine.tick(SECOND, None, [PLAN])
    numbers = engine.legs(PLAN.call_id)
    now = SECOND
    for datagrams in _batches(data):
        now += SECOND // 10
        engine.tick(now, _batch(datagrams, numbers, now))
    engine.tick(now, None, [Close(PLAN.call_id, now)])
    for tick in range(1, 40):
        engine.tick(now + tick * SECOND // 10)
    if engine.legs(PLAN.call_id):
        raise AssertionError("a call that was closed goes on")


def _batches(data: bytes) -> Iterator[list[bytes]]:
    at, batch = 0, []
    while at + 1 < len(data):
        size = int.from_bytes(data[at : at + 2]) % SLOT
        batch.append(data[at + 2 : at + 2 + size])
        at += 2 + size
        if len(batch) == 8:
            yield batch
            batch = []
    yield batch


def _batch(datagrams: list[bytes], numbers: list[int], now: int) -> PacketBatch | None:
    if not datagrams:
        return None
    slots = np.zeros((len(datagrams), SLOT), np.uint8)
    for slot, data in zip(slots, datagrams, strict=True):
        slot[: len(data)] = np.frombuffer(data, np.uint8)
    legs = np.sort(np.array([numbers[place % 2] for place in range(len(datagrams))], np.int64))
    sizes = np.array([len(data) for data in datagrams], np.int64)
    return PacketBatch(slots, sizes, legs, np.full(len(datagrams), now, np.int64))


def capture(data: bytes) -> None:
    """A capture file up to the SIP messages in it; read in two pieces it gives the same."""
    found = []
    for cut in (0, len(data) // 2):
        reader, taking, hearing = CaptureReader(), Decapsulator(), Signalling()
        heard: list[object] = []
        for piece in (data[:cut], data[cut:]):
            frames = reader.feed(piece)
            datagrams = taking.feed(frames)
            if any((each.offsets + each.sizes > each.octets.size).any() for each in datagrams):
                raise AssertionError("a datagram ends behind its arena")
            heard += hearing.feed(datagrams)
        reader.finish()
        found.append((reader.frames, reader.fault, len(heard + hearing.finish(0))))
    if found[0][:2] != found[1][:2]:
        raise AssertionError("where the capture is cut changes what is read")


def overheard(data: bytes) -> None:
    """Messages that a tap hears, a second apart: every call that is seen is over once."""
    tap, effects = Dialogs(supported=supported, max_calls=8), []
    for number, piece in enumerate(data.split(b"\0\0\0\0"), start=1):
        ways = [FLOW.peer, FLOW.local]
        source, destination = reversed(ways) if piece.startswith(b"SIP/") else ways
        effects += tap.heard(piece, number * SECOND, number, source, destination)
    effects += tap.close((1 << 20) * SECOND)
    seen = [effect.call for effect in effects if isinstance(effect, Seen)]
    over = [effect.call for effect in effects if isinstance(effect, Over)]
    if sorted(seen) != sorted(over) or len(set(seen)) < len(seen) or len(tap):
        raise AssertionError("a call is not over, or is so twice")


TARGETS: dict[str, Callable[[bytes], None]] = {
    "sip": sip,
    "stream": stream,
    "sdp": descriptions,
    "metadata": documents,
    "multipart": bodies,
    "info": informing,
    "rtp": media,
    "capture": capture,
    "overheard": overheard,
}


def seeds(target: str) -> list[bytes]:
    """Where a target's fuzzing starts: the samples of the tests."""
    invites = [path.read_bytes() for path in sorted((TESTS / "siprec" / "samples").rglob("*.txt"))]
    torture = [
        piece.partition(b"\n")[2]
        for path in sorted((TESTS / "sip" / "samples").glob("rfc*.txt"))
        for piece in path.read_bytes().split(b"#### ")[1:]
    ]
    match target:
        case "overheard":
            return [*stories.messages(), *(text.replace(b"\n", b"\r\n") for text in [*invites, *torture])]
        case "sip" | "stream":
            return [text.replace(b"\n", b"\r\n") for text in [*invites, *torture]]
        case "info":
            signals = (
                b"Signal=5\r\nDuration=160\r\n",
                b"signal = #\n",
                b"11",
                b"--b\r\n\r\nSignal=*\r\n--b--",
            )
            types = (b"application/dtmf-relay", b"application/dtmf", b"multipart/mixed;boundary=b")
            return [kind + b"\n" + signal for kind in types for signal in signals]
        case "rtp":
            return [_packets(number) for number in range(11)]
        case "capture":
            return _captures()
        case "sdp":
            return [found for text in invites for found in re.findall(rb"v=0\n(?:[a-z]=.*\n)+", text)]
        case "metadata":
            return [
                found
                for text in invites
                for found in re.findall(rb"<(?:\w+:)?recording[\s\S]*recording\w*>", text)
            ]
        case _:
            return [b"multipart/mixed;boundary=b1\n" + text.partition(b"\n\n")[2] for text in invites]


def _packets(kind: int) -> bytes:
    """Some RTP, RTCP, telephone events and padding."""
    made = []
    for number in range(12):
        payload = bytes([number]) * (160, 80, 4, 0, 33, 480, 80, 24, 84, 70, 61)[kind]
        first = (0x80, 0x90, 0x80, 0xA0, 0x8F, *(0x80,) * 6)[kind]
        second = (8, 0, 101, 200, 127, 8, 2, 4, 5, 97, 98)[kind]
        head = bytes([first, second]) + number.to_bytes(2) + (160 * number).to_bytes(4) + bytes(4)
        made.append((12 + len(payload)).to_bytes(2) + head + payload)
    return b"".join(made)


def _captures() -> list[bytes]:
    """Each format with a message in fragments, one over TCP, and one in a tunnel."""
    message = b"OPTIONS sip:b SIP/2.0\r\nContent-Length: 0\r\n\r\n"
    whole = building.udp(message)
    frames = [
        building.ethernet(building.ipv4(whole[:16], more=True)),
        building.ethernet(building.ipv4(whole[16:], offset=16)),
        building.ethernet(building.ipv4(building.tcp(message, 1), protocol=6)),
        building.ethernet(building.ipv4(building.vxlan(building.ethernet(building.ipv4(whole))))),
        building.ethernet(building.ipv6(building.extension(whole), following=0), building.IPV6, [0x8100]),
        building.ethernet(
            building.ipv4(building.erspan_3(building.ethernet(building.ipv4(whole))), protocol=47)
        ),
    ]
    timed = list(enumerate(frames))
    blocks = b"".join(captures.packet(at, frame) for at, frame in timed)
    return [
        captures.pcap(timed),
        captures.pcap(timed, order=">", nano=True),
        captures.pcap(timed, patched=True),
        captures.section() + captures.interface() + blocks,
        captures.section(">") + captures.interface(1, ">") + captures.simple_packet(frames[2], ">"),
    ]
