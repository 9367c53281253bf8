"""What a soak has shown is judged by what the server had at rest, before and after."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.soak.verdict import SETTLED, Heard, Sounding, hear, table, verdict

REST = Sounding(threads=20, descriptors=40, files=12, memory=200 * 2**20, rows=0)
LONG = [number * 0.02 for number in range(4 * SETTLED)]


def heard(drifts: list[float]) -> list[Heard]:
    return [Heard(1000, drift, 0) for drift in drifts]


def complaints(after: Sounding, drifts: list[float]) -> list[str]:
    return [row.name for row in verdict(REST, after, heard(drifts), pool_files=30) if not row.holds]


def test_what_is_back_where_it_was_holds() -> None:
    grown = replace(REST, memory=230 * 2**20, files=30)
    assert complaints(grown, [0.02, -0.02]) == []


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"threads": 21}, "threads"),
        ({"descriptors": 41}, "descriptors"),
        ({"files": 31}, "descriptors of the database"),
        ({"memory": 240 * 2**20}, "memory, MB"),
        ({"rows": 1}, "calls and sessions that are not over"),
    ],
)
def test_what_is_not_back_does_not_hold(change: dict[str, int], name: str) -> None:
    after = replace(REST, **change)
    assert complaints(after, [0.0]) == [name]
    assert f"{name:<38}" in table(verdict(REST, after, heard([0.0]), pool_files=30))


@pytest.mark.parametrize("drifts", [[], [0.0, 0.021], [-0.021]])
def test_a_call_that_drifts_by_more_than_a_frame_does_not_hold(drifts: list[float]) -> None:
    assert complaints(REST, drifts)[0] == f"drift of {len(drifts)} long calls, ms"


def test_one_frame_of_a_thousand_may_be_left_out() -> None:
    rows = verdict(REST, REST, [Heard(10_000, 0.0, 10)], pool_files=30)
    assert all(row.holds for row in rows)
    rows = verdict(REST, REST, [Heard(10_000, 0.0, 11)], pool_files=30)
    assert [row.name for row in rows if not row.holds] == ["frames left out"]


def test_frames_that_come_late_are_neither_drift_nor_left_out() -> None:
    found = hear([at + 0.3 * (number % 3 > 0) for number, at in enumerate(LONG)])
    assert (found.drift, found.left_out) == (pytest.approx(0.0), 0)


def test_frames_that_never_came_are_left_out_and_no_drift() -> None:
    found = hear(LONG[: 2 * SETTLED] + LONG[2 * SETTLED + 2 :])
    assert (found.drift, found.left_out) == (pytest.approx(0.0), 2)


def test_a_clock_that_is_slow_drifts() -> None:
    found = hear([at * 1.005 for at in LONG])
    assert (found.drift, found.left_out) == (pytest.approx(0.015), 0)


def test_a_call_that_was_hardly_heard_says_nothing() -> None:
    assert hear(LONG[: 2 * SETTLED - 1]).drift == float("inf")
