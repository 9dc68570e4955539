import pytest

from gateway.sip.message import Request, parse
from gateway.sip.timers import Timers
from gateway.sip.transaction import (
    CLIENT,
    INVITE_SERVER,
    SERVER,
    Arm,
    Event,
    Moves,
    State,
    Timer,
    Transaction,
    Transmit,
    server_key,
)


class Line:
    """One transaction with its timers, on a clock that jumps."""

    def __init__(self, moves: Moves, reliable: bool = False) -> None:
        self.transaction = Transaction(moves, reliable)
        self.timers: Timers[int, Timer] = Timers()
        self.sent: list[tuple[float, bytes]] = []

    def feed(self, event: Event | Timer, now: float, data: bytes = b"") -> None:
        for effect in self.transaction.handle(event, now, data):
            match effect:
                case Transmit(data):
                    self.sent.append((now, data))
                case Arm(timer, at):
                    self.timers.arm(0, timer, at)

    def run(self, until: float = 1000.0) -> float:
        """Fire timers until the transaction is over; when that was."""
        now = 0.0
        while self.transaction.state is not State.TERMINATED:
            at = self.timers.next()
            if at is None or at > until:
                break
            now = at
            due = self.timers.pop(now)
            assert due
            self.feed(due[1], now)
        return now

    @property
    def times(self) -> list[float]:
        return [round(at, 3) for at, _ in self.sent]


def test_failure_is_repeated_until_timer_h() -> None:
    line = Line(INVITE_SERVER)
    line.feed(Event.FAILURE, 0, b"486")
    assert line.run() == 32
    assert line.times == [0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]


def test_ack_silences_a_failure() -> None:
    line = Line(INVITE_SERVER)
    line.feed(Event.FAILURE, 0, b"486")
    line.feed(Event.ACK, 0.2)
    line.feed(Event.ACK, 0.3)
    assert line.run() == 5.2
    assert line.times == [0]


def test_reliable_failure_is_sent_once_and_ack_ends_at_once() -> None:
    line = Line(INVITE_SERVER, reliable=True)
    line.feed(Event.FAILURE, 0, b"486")
    line.feed(Event.ACK, 1)
    assert line.run() == 1
    assert line.times == [0]


def test_repeated_invite_gets_the_last_provisional_and_nothing_after_success() -> None:
    line = Line(INVITE_SERVER)
    line.feed(Event.REQUEST, 0)
    line.feed(Event.PROVISIONAL, 0.1, b"100")
    line.feed(Event.REQUEST, 0.5)
    line.feed(Event.SUCCESS, 1, b"200")
    line.feed(Event.REQUEST, 1.5)
    line.feed(Event.SUCCESS, 2, b"200")
    assert line.sent == [(0.1, b"100"), (0.5, b"100"), (1, b"200"), (2, b"200")]
    assert line.transaction.state is State.ACCEPTED
    assert line.run() == 33


def test_other_requests_are_absorbed_then_answered_again() -> None:
    line = Line(SERVER)
    line.feed(Event.REQUEST, 0)
    line.feed(Event.SUCCESS, 1, b"200")
    line.feed(Event.FAILURE, 2, b"500")
    line.feed(Event.REQUEST, 3)
    assert line.sent == [(1, b"200"), (3, b"200")]
    assert line.run() == 33


def test_unanswered_request_is_repeated_until_timer_f() -> None:
    line = Line(CLIENT)
    line.feed(Event.REQUEST, 0, b"BYE")
    assert line.run() == 32
    assert line.times == [0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert Line(CLIENT, reliable=True).run() == 0


def test_provisional_slows_and_final_ends_a_request() -> None:
    line = Line(CLIENT)
    line.feed(Event.REQUEST, 0, b"BYE")
    line.feed(Event.PROVISIONAL, 0.1)
    line.run(until=9)
    line.feed(Event.SUCCESS, 9)
    assert line.run() == 14
    assert line.times == [0, 0.5, 4.5, 8.5]


def test_reliable_request_is_sent_once() -> None:
    line = Line(CLIENT, reliable=True)
    line.feed(Event.REQUEST, 0, b"BYE")
    assert line.run() == 32
    assert line.times == [0]


@pytest.mark.parametrize("moves", [INVITE_SERVER, SERVER, CLIENT])
def test_every_state_but_the_last_can_be_left(moves: Moves) -> None:
    for state, row in moves.items():
        leaves = any(after is not state for after, _ in row.values())
        assert leaves is (state is not State.TERMINATED)


def request(method: str, via: str, tag: str = "") -> Request:
    message = parse(
        f"{method} sip:a SIP/2.0\r\nVia: SIP/2.0/UDP {via}\r\nFrom: <sip:b>;tag=1\r\nTo: <sip:a>{tag}\r\n"
        f"Call-ID: c\r\nCSeq: 1 {method}\r\n\r\n".encode()
    )
    assert isinstance(message, Request)
    return message


@pytest.mark.parametrize("branch", ["z9hG4bKx", "old", ""])
def test_matching(branch: str) -> None:
    via = f"h:5060;branch={branch}"
    invite = server_key(request("INVITE", via))
    assert server_key(request("INVITE", via)) == invite
    assert server_key(request("ACK", via, ";tag=ours"), "INVITE") == invite
    assert server_key(request("CANCEL", via), "INVITE") == invite
    assert server_key(request("CANCEL", via)) != invite
    assert server_key(request("INVITE", f"other;branch={branch}")) != invite


def test_timers_are_exchanged_and_disarmed() -> None:
    timers: Timers[str, int] = Timers()
    for at in range(500):
        timers.arm("a", 1, at + 10.0)
    timers.arm("b", 1, 5.0)
    assert timers.next() == 5.0
    assert timers.pop(4.0) is None
    assert timers.pop(600.0) == ("b", 1)
    assert timers.next() == 509.0
    timers.disarm("a")
    assert timers.next() is None
