from __future__ import annotations

import pytest

from gateway.redaction.codes import CodeAction, CodeWatch
from gateway.redaction.rules import SECOND, FeatureCodes
from tests.redaction.numbers import keys

PAUSE, RESUME, OPT_OUT = CodeAction.PAUSE, CodeAction.RESUME, CodeAction.OPT_OUT


def keyed(text: str, codes: FeatureCodes, gap: float = 0.5) -> list[tuple[float, CodeAction]]:
    """What is asked for, and when, s; a space is a rest of five seconds."""
    watch, now, asked = CodeWatch(codes), 10.0, []
    for key in text:
        now += 5 if key == " " else gap
        action = watch.due(int(now * SECOND)) if key == " " else watch.key(keys(key)[0], int(now * SECOND))
        if action:
            asked.append((now - 10, action))
    return asked


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("*7", [PAUSE]),
        ("*8", [RESUME]),
        ("*9", [OPT_OUT]),
        ("**7", [PAUSE]),
        ("*7*8", [PAUSE, RESUME]),
        ("12*77", [PAUSE]),
        ("*17", []),
        ("7", []),
        ("* 7", []),
        ("#7", []),
        ("*", []),
    ],
)
def test_codes(text: str, asked: list[CodeAction]) -> None:
    assert [action for _, action in keyed(text, FeatureCodes())] == asked


def test_keys_of_a_code_follow_each_other_soon() -> None:
    assert keyed("*7", FeatureCodes(), 3.0) == [(6.0, PAUSE)]
    assert keyed("*7", FeatureCodes(), 3.1) == []


def test_a_code_that_begins_another_waits_for_it() -> None:
    codes = FeatureCodes(pause="*7", resume="*70", opt_out="#123")
    assert keyed("*70", codes) == [(1.5, RESUME)]
    assert keyed("*7 ", codes) == [(6.0, PAUSE)]
    assert keyed("*7*70", codes) == [(2.5, RESUME)]
    assert [action for _, action in keyed("*7 *70", codes)] == [PAUSE, RESUME]
    watch = CodeWatch(codes)
    star, seven, hash_ = keys("*7#")
    assert watch.key(star, 10 * SECOND) is watch.key(seven, 11 * SECOND) is None
    assert watch.key(hash_, 20 * SECOND) is PAUSE  # nobody asked in between whether something is due
    assert keyed("#123", codes) == [(2.0, OPT_OUT)]


def test_a_code_may_be_switched_off() -> None:
    assert keyed("*7*8", FeatureCodes(pause="")) == [(2.0, RESUME)]
