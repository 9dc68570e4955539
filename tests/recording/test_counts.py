"""Counts of legs, through workers that die and segments that follow each other."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.recording.counts import LegCounts, since
from gateway.recording.model import LegReport, Role
from tests.recording.simulation import PLAN

ROLES = (Role.EXTERNAL, Role.AGENT)
NUMBERS = 5  # of a report: packets and so on
numbers = st.lists(st.integers(0, 1000), min_size=NUMBERS, max_size=NUMBERS)


def counted(report: LegReport) -> list[int]:
    return [report.packets, report.lost, report.late, report.duplicated, report.media_units]


@given(st.lists(st.tuples(numbers, numbers, st.booleans(), st.booleans()), max_size=8))
def test_what_all_workers_counted_is_told(told: list[tuple[list[int], list[int], bool, bool]]) -> None:
    """Each worker's last counts, added up, whether they come in full or as numbers alone."""
    counts = LegCounts(PLAN.legs)
    expected = [[0] * NUMBERS, [0] * NUMBERS]
    before = expected
    for external, agent, whole, dies in told:
        expected = [
            [a + b for a, b in zip(*pair, strict=True)]
            for pair in zip(before, (external, agent), strict=True)
        ]
        was = counts.reports()
        if whole:
            changes = counts.report(
                LegReport(role, "PCMU", *each) for role, each in zip(ROLES, (external, agent), strict=True)
            )
        else:
            changes = counts.count(ROLES, (external, agent))
        assert [change[0] for change in changes] == list(was)
        assert [change[1] for change in changes] == list(counts.reports())
        assert [counted(report) for report in counts.reports()] == expected
        if dies:
            counts.worker_lost()
            before = expected


def test_the_codec_is_the_one_that_was_received_last() -> None:
    counts = LegCounts(PLAN.legs)
    assert [report.codec for report in counts.reports()] == ["PCMA", "PCMA"]
    counts.report([LegReport(Role.AGENT, "G722", 3)])
    counts.count(ROLES, [[1] * NUMBERS, [4] * NUMBERS])
    assert [(report.codec, report.packets) for report in counts.reports()] == [("PCMA", 1), ("G722", 4)]


def test_a_segment_has_what_came_after_the_one_before() -> None:
    before = [LegReport(Role.EXTERNAL, "PCMA", 10, 2)]
    now = [LegReport(Role.EXTERNAL, "PCMA", 15, 1), LegReport(Role.AGENT, "PCMA", 7)]
    assert since(now, before) == (LegReport(Role.EXTERNAL, "PCMA", 5, 0), LegReport(Role.AGENT, "PCMA", 7))
