"""What payload types mean on a leg, before and after a change of what was agreed on."""

from __future__ import annotations

import numpy as np

from gateway.codecs.registry import by_name
from gateway.rtp.formats import AUDIO, EVENT, SILENT, UNKNOWN, Formats

PCMA, PCMU = by_name("PCMA", 8000), by_name("PCMU", 8000)
NONE: frozenset[int] = frozenset()


def test_a_codec_keeps_its_number_and_what_is_not_named_any_more_its_meaning() -> None:
    formats = Formats(2)
    formats.add(0, {8: PCMA}, frozenset({101}), NONE)
    formats.add(0, {0: PCMU, 96: PCMA}, frozenset({100}), frozenset({97}))
    types = [8, 0, 96, 101, 100, 97, 13, 19, 50]
    kinds = [AUDIO, AUDIO + 1, AUDIO, EVENT, EVENT, SILENT, SILENT, SILENT, UNKNOWN]
    assert formats.kinds[0, types].tolist() == kinds
    assert [formats.codec(0, AUDIO), formats.codec(0, AUDIO + 1)] == [PCMA, PCMU]
    assert not formats.kinds[1].any()


def test_of_another_leg_in_the_same_row_nothing_is_known() -> None:
    formats = Formats(1)
    formats.add(0, {8: PCMA}, frozenset({101}), NONE)
    formats.clear(0)
    assert not formats.kinds.any()
    formats.add(0, {0: PCMU}, NONE, NONE)
    assert formats.codec(0, AUDIO) is PCMU


def test_legs_that_may_carry_events() -> None:
    formats = Formats(3)
    formats.add(1, {8: PCMA}, frozenset({101}), NONE)
    formats.add(2, {8: PCMA}, NONE, NONE)
    assert formats.has_events(np.array([2, 1, 1])).tolist() == [False, True, True]
