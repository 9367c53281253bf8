"""Backoff between delivery attempts: growth, jitter and upper bound."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.webhooks.attempts import LONGEST_PAUSE_SECONDS, is_due, pause

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


def test_the_first_pause_is_one_to_two_seconds() -> None:
    assert (pause(1, 0.0), pause(1, 1.0)) == (1.0, 2.0)


def test_pauses_do_not_exceed_a_quarter_of_an_hour() -> None:
    assert (pause(100, 0.0), pause(100, 1.0)) == (LONGEST_PAUSE_SECONDS / 2, LONGEST_PAUSE_SECONDS)


@given(FAILURES, CHANCE)
def test_a_pause_is_at_least_as_long_as_the_one_before_and_at_most_twice(
    failures: int, chance: float
) -> None:
    before, after = pause(failures, chance), pause(failures + 1, chance)
    assert before <= after <= 2 * before
    assert 1.0 <= before <= LONGEST_PAUSE_SECONDS


@given(FAILURES, CHANCE, CHANCE)
def test_chance_decides_over_half_of_a_pause(failures: int, one: float, other: float) -> None:
    assert pause(failures, one) <= 2 * pause(failures, other)
