"""How calls end that nobody is heard to hang up."""

from __future__ import annotations

from gateway.tap.effects import End, Over
from tests.tap.traces import Trace, answered, sdp


def test_an_invite_that_nobody_answers_is_lost() -> None:
    trace = Trace()
    trace("A>B", "INVITE", sdp("A", 4000))
    trace.later(70)
    assert trace.ends() == ["lost"]


def test_a_telephone_may_ring_for_long() -> None:
    trace = Trace()
    trace("A>B", "INVITE", sdp("A", 4000))
    trace("B>A", "180 INVITE", tags="a b")
    trace.later(300)
    assert trace.ends() == []
    trace.later(3600)
    assert trace.ends() == ["lost"]


def test_a_session_timer_runs_out() -> None:
    trace = Trace()
    trace("A>B", "INVITE", sdp("A", 4000))
    expires = ["Session-Expires: 90;refresher=uac"]
    trace("B>A", "200 INVITE", sdp("B", 5000), tags="a b", fields=expires)
    trace("A>B", "UPDATE", tags="a b", cseq=2, wait=60)
    trace("B>A", "200 UPDATE", tags="a b", cseq=2, fields=expires)
    trace.later(100)
    assert trace.ends() == []
    trace.later(30)
    assert trace.ends() == ["lost"]


def test_silence_ends_a_call_but_not_one_on_hold() -> None:
    trace = answered()
    [seen] = trace.calls()
    trace("A>B", "INVITE", sdp("A", 4000, "8", "inactive"), tags="a b", cseq=2)
    trace("B>A", "200 INVITE", sdp("B", 5000, "8", "inactive"), tags="a b", cseq=2)
    assert trace.silent(seen.call) == []
    trace("A>B", "INVITE", sdp("A", 4000), tags="a b", cseq=3)
    trace("B>A", "200 INVITE", sdp("B", 5000), tags="a b", cseq=3)
    trace.silent(seen.call)
    assert trace.ends() == ["lost"]
    assert trace.silent(seen.call) == []
    trace("A>B", "BYE", tags="a b", cseq=4)
    assert trace.told().count("Over") == 1


def test_a_call_that_was_given_up_and_goes_on_is_found_again() -> None:
    trace = answered()
    trace.silent(trace.calls()[0].call)
    trace("A>B", "INVITE", sdp("A", 4000), tags="a b", cseq=2)
    trace("B>A", "200 INVITE", sdp("B", 5000), tags="a b", cseq=2)
    assert [seen.midway for seen in trace.calls()] == [False, True]


def test_a_newer_call_at_the_same_place_ends_the_older() -> None:
    trace = answered()
    trace.later(30)
    trace("A>C", "INVITE", sdp("A", 4000), call="two")
    trace("C>A", "200 INVITE", sdp("C", 6000), call="two", tags="a c")
    trace.later(59)
    assert trace.ends() == []
    trace.later(2)
    [over] = trace.of(Over)
    assert (over.how, over.call) == (End.LOST, trace.calls()[0].call)


def test_two_calls_of_a_telephone_system_may_share_their_places() -> None:
    """It lets both telephones speak directly."""
    trace = Trace()
    trace("A>P", "INVITE", sdp("A", 4000))
    trace("P>B", "INVITE", sdp("A", 4000), call="two")
    trace("B>P", "200 INVITE", sdp("B", 5000), call="two", tags="a b")
    trace("P>A", "200 INVITE", sdp("B", 5000), tags="a p")
    trace.later(60)
    assert trace.ends() == []
    assert len(trace.calls()) == 2


def test_calls_that_all_have_one_place_are_not_taken_for_lost() -> None:
    """As generators of calls make them: once two are seen to go on beside each other, no other is suspected."""
    trace = Trace()
    for number in range(4):
        trace("A>B", "INVITE", sdp("A", 4000), call=f"c{number}")
        trace("B>A", "200 INVITE", sdp("B", 5000), call=f"c{number}", tags="a b", wait=5)
    trace("A>B", "BYE", call="c0", tags="a b", cseq=2, wait=10)
    trace.later(300)
    assert trace.ends() == ["bye"]


def test_nothing_more_is_heard() -> None:
    trace = answered()
    trace("C>D", "INVITE", sdp("C", 6000), call="two")
    effects = trace.tap.close(trace.now)
    assert [(over.how, over.answered) for over in effects if isinstance(over, Over)] == [
        (End.LOST, True), (End.LOST, False),
    ]  # fmt: skip
    assert len(trace.tap) == 0
