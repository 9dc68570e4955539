"""Which class of reasons counts for a call that is not recorded as a whole."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.recording.assurance import ORDER, Why, chief
from gateway.recording.call import Call, Opening
from gateway.recording.messages import OpenRedaction
from gateway.recording.model import Cause, Direction, Part
from tests.recording.simulation import PLAN


def call() -> Call:
    return Call(Opening("c", "s", "r", 0, 0, Direction.INBOUND, (), PLAN.legs))


@given(st.sets(st.sampled_from(Why), min_size=1))
def test_what_is_ours_to_mend_counts_first(found: set[Why]) -> None:
    assert ORDER.index(chief(found)) == min(map(ORDER.index, found))


def test_a_call_without_audio() -> None:
    assert call().why() is Why.NO_MEDIA


@pytest.mark.parametrize("why", Why)
def test_a_call_that_lacks_something(why: Why) -> None:
    partly = call()
    partly.end_part("r", Part(1, 100, "00"))
    partly.problem("something was lost", why)
    assert partly.why() is why


def test_a_call_that_was_not_to_be_recorded() -> None:
    stopped = call()
    stopped.stopped = OpenRedaction(Cause.OPT_OUT, (), 0)
    assert stopped.why() is Why.CHOICE
    stopped.problem("storage failed: it was full", Why.STORAGE)
    assert stopped.why() is Why.STORAGE
