"""Histogram of the lateness of ticks."""

from __future__ import annotations

import pytest

from service.media.engine.lateness import BOUNDS, LATE, RECENT, Lateness


@pytest.mark.parametrize(
    ("seconds", "place"),
    [(0.0, 0), (BOUNDS[0], 0), (0.0006, 1), (BOUNDS[-1], len(BOUNDS) - 1), (9.0, len(BOUNDS))],
)
def test_a_tick_is_counted_at_the_first_bound_it_does_not_exceed(
    seconds: float, place: int
) -> None:
    lateness = Lateness()
    lateness.note(seconds)
    assert [count for count in lateness.counts if count] == [1]
    assert lateness.counts[place] == 1
    assert lateness.total == seconds


def test_late_ticks_are_counted_separately() -> None:
    lateness = Lateness()
    for seconds in (LATE - 0.001, LATE, LATE + 1):
        lateness.note(seconds)
    assert lateness.late == 2


def test_the_record_of_single_ticks_is_bounded() -> None:
    lateness = Lateness()
    for number in range(RECENT + 7):
        lateness.note(float(number))
    assert len(lateness.recent) == RECENT
    assert lateness.recent[0] == 7.0
    assert sum(lateness.counts) == RECENT + 7
