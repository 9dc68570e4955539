from __future__ import annotations

import pytest

from gateway.sip.message import Headers, Request
from gateway.sip.session_timer import Agreed, Policy, agree, asked, too_short

POLICY = Policy(wanted=1800, least=120)


def invite(*fields: tuple[str, str]) -> Request:
    return Request("INVITE", "sip:srs@192.0.2.1", Headers(fields))


TIMER = ("Supported", "100rel, timer")


@pytest.mark.parametrize(
    ("fields", "agreed"),
    [
        ((), None),
        ((TIMER,), Agreed(1800, ours=False)),
        ((TIMER, ("Min-SE", "3600")), Agreed(3600, ours=False)),
        ((TIMER, ("Session-Expires", "600")), Agreed(600, ours=False)),
        ((TIMER, ("Session-Expires", "600;refresher=uac")), Agreed(600, ours=False)),
        ((TIMER, ("Session-Expires", "600 ; foo ; refresher=UAS")), Agreed(600, ours=True)),
        ((("Session-Expires", "600"),), Agreed(600, ours=True, supported=False)),
        ((("Session-Expires", "100"),), Agreed(120, ours=True, supported=False)),
        ((("Require", "timer"), ("Session-Expires", "7200")), Agreed(7200, ours=False)),
        ((TIMER, ("Session-Expires", "soon")), Agreed(1800, ours=False)),
    ],
)
def test_what_is_agreed(fields: tuple[tuple[str, str], ...], agreed: Agreed | None) -> None:
    assert agree(invite(*fields), POLICY) == agreed


def test_only_clients_that_can_raise_it_are_told_that_it_is_too_short() -> None:
    short = ("Session-Expires", "119")
    assert too_short(invite(TIMER, short), POLICY)
    assert not too_short(invite(short), POLICY)
    assert not too_short(invite(TIMER, ("Session-Expires", "120")), POLICY)
    assert not too_short(invite(TIMER), POLICY)


def test_no_timer_is_asked_for_where_none_is_wanted() -> None:
    assert agree(invite(TIMER), Policy(wanted=0)) is None


def test_the_answer_says_who_refreshes() -> None:
    assert Agreed(600, ours=False).answer() == (
        ("Require", "timer"),
        ("Session-Expires", "600;refresher=uac"),
    )
    assert Agreed(600, ours=True, supported=False).answer() == (("Session-Expires", "600;refresher=uas"),)
    (_, expires, _) = Agreed(600, ours=True).request(90)
    told = asked(Headers((expires,)))
    assert told is not None
    assert (told.seconds, told.refresher) == (600, "uac")


@pytest.mark.parametrize(("seconds", "given_up"), [(1800, 1768), (90, 60)])
def test_a_session_is_given_up_shortly_before_it_expires(seconds: int, given_up: float) -> None:
    assert Agreed(seconds, ours=False).next_step() == given_up
    assert Agreed(seconds, ours=True).next_step() + Agreed(seconds, ours=True).last_chance() == given_up
