from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from gateway.io.append import AppendFailed, PartEnded, Synced
from gateway.io.channel import Channel, ChannelClosed, Configure, Message, Ready, Ticked
from gateway.recording.engine import EngineSettings
from gateway.recording.messages import CallReport, Close, Finished, MediaStopped, Press, Reformat, Refused
from gateway.recording.model import LegReport, Redaction, Role
from gateway.redaction.digit import Digit
from tests.recording.simulation import PLAN

REPORTS = (LegReport(Role.EXTERNAL, "PCMA", 5, 4, 3, 2, 1), LegReport(Role.AGENT, "PCMU"))
MASKED = (
    Redaction(5, 9, (Role.AGENT,), "dtmf"),
    Redaction(1, 2, (Role.AGENT, Role.EXTERNAL), "pause", "rule"),
)
MESSAGES: list[Message] = [
    Configure(EngineSettings(8, 5, 6, 7), "/a/b"), PLAN, Reformat("c", PLAN.legs, held=True), Close("c", 7, at_once=True),
    Press("c", Role.AGENT, Digit.STAR, 7, 8), Press("c", None, Digit.NINE, 7, 0),
    Ready(True), Ticked(1, 2, 3), CallReport("c", REPORTS, MASKED), MediaStopped("c"), Finished("c", "r", REPORTS, (), 2),
    Refused("stray", 9), PartEnded("r", 1, 2, "ff"), AppendFailed("r", 1, "full"), Synced(1, 2, None), Synced(1, 2, "x"),
]  # fmt: skip


@pytest.fixture
def ends() -> Iterator[tuple[Channel, Channel]]:
    one, two = (Channel(end) for end in socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET))
    yield one, two
    one.close()
    two.close()


def test_every_message_comes_out_as_it_went_in(ends: tuple[Channel, Channel]) -> None:
    ends[0].send(MESSAGES)
    assert [message for message, _ in ends[1].receive()] == MESSAGES
    assert ends[1].receive() == []


def test_sockets_come_with_their_message_once(ends: tuple[Channel, Channel]) -> None:
    reader, writer = os.pipe()
    ends[0].send([Ready(True)])
    ends[0].send([PLAN], [writer])
    ends[0].send([Ready(False)])
    os.close(writer)
    (_, none), (opened, (passed,)), (_, nothing) = ends[1].receive()
    assert (opened, none, nothing) == (PLAN, [], [])
    os.write(passed, b"x")
    os.close(passed)
    assert os.read(reader, 9) == b"x"
    assert os.read(reader, 9) == b""  # no further copy of it is open
    os.close(reader)


def test_a_message_longer_than_any_datagram(ends: tuple[Channel, Channel]) -> None:
    reader, writer = os.pipe()
    masked = tuple(Redaction(at, at + 1, (Role.AGENT,), "dtmf") for at in range(8_000))
    long = CallReport("c", REPORTS, masked)
    ends[0].send([long, Ready(True)], [writer])
    found = ends[1].receive()
    while ends[0].pending:
        ends[0].flush()
        found += ends[1].receive()
    assert [message for message, _ in found] == [long, Ready(True)]
    assert len(found[0][1]) == 1
    for handle in (reader, writer, *found[0][1]):
        os.close(handle)


def test_what_does_not_go_out_waits(ends: tuple[Channel, Channel]) -> None:
    sent = [Refused("stray", number) for number in range(12_000)]
    for at in range(0, len(sent), 1000):
        ends[0].send(sent[at : at + 1000])
    assert ends[0].pending
    found = ends[1].receive()
    while ends[0].pending:
        ends[0].flush()
        found += ends[1].receive()
    assert [message for message, _ in found] == sent


def test_the_end_comes_after_the_last_messages(ends: tuple[Channel, Channel]) -> None:
    ends[0].send(MESSAGES)
    ends[0].close()
    assert [message for message, _ in ends[1].receive()] == MESSAGES
    with pytest.raises(ChannelClosed):
        ends[1].receive()
    with pytest.raises(ChannelClosed):
        ends[1].send([Ready(True)])


def test_the_last_messages_come_though_the_other_end_left_some_unread(ends: tuple[Channel, Channel]) -> None:
    ends[1].send([PLAN])
    ends[0].send(MESSAGES)
    ends[0].close()
    assert [message for message, _ in ends[1].receive()] == MESSAGES
    with pytest.raises(ChannelClosed):
        ends[1].receive()
