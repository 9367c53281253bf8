"""The pauses between attempts grow, differ, and come to an end of growing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.webhooks.backoff import MOST_SECONDS, is_due, pause

FAILURES = st.integers(1, 10_000)
CHANCE = st.floats(0, 1)


@pytest.mark.parametrize(
    ("due_at", "due"),
    [
        (0, True),
        (1_000, True),
        (1_001, False),
        (901_000, False),
        (901_001, True),
        (3_601_000, True),
    ],
)
def test_a_due_time_beyond_any_pause_counts_as_due(due_at: int, due: bool) -> None:
    assert is_due(due_at, 1_000) is due


def test_the_first_pause_is_a_second_or_two() -> None:
    assert (pause(1, 0.0), pause(1, 1.0)) == (1.0, 2.0)


def test_the_longest_pauses_are_a_quarter_of_an_hour_at_most() -> None:
    assert (pause(100, 0.0), pause(100, 1.0)) == (MOST_SECONDS / 2, MOST_SECONDS)


@given(FAILURES, CHANCE)
def test_no_pause_is_shorter_than_the_one_before_or_more_than_twice_as_long(
    failures: int, chance: float
) -> None:
    before, after = pause(failures, chance), pause(failures + 1, chance)
    assert before <= after <= 2 * before
    assert 1.0 <= before <= MOST_SECONDS


@given(FAILURES, CHANCE, CHANCE)
def test_chance_decides_over_half_of_it(failures: int, one: float, other: float) -> None:
    assert pause(failures, one) <= 2 * pause(failures, other)
