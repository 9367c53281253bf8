"""What a soak has shown is judged by what the server had at rest, before and after."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.soak_verdict import SETTLED, Sounding, drift, table, verdict

REST = Sounding(threads=20, descriptors=40, files=12, memory=200 * 2**20, rows=0)
LONG = [number * 0.02 for number in range(4 * SETTLED)]


def complaints(after: Sounding, drifts: list[float]) -> list[str]:
    return [row.name for row in verdict(REST, after, drifts, pool_files=30) if not row.holds]


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
    assert f"{name:<38}" in table(verdict(REST, after, [0.0], pool_files=30))


@pytest.mark.parametrize("drifts", [[], [0.0, 0.021], [-0.021]])
def test_a_call_that_drifts_by_more_than_a_frame_does_not_hold(drifts: list[float]) -> None:
    assert complaints(REST, drifts) == [f"drift of {len(drifts)} long calls, ms"]


def test_frames_that_come_late_are_no_drift() -> None:
    late = [at + 0.3 * (number % 3 > 0) for number, at in enumerate(LONG)]
    assert drift(late) == pytest.approx(0.0)


def test_frames_that_never_came_are() -> None:
    assert drift(LONG[: 2 * SETTLED] + LONG[2 * SETTLED + 2 :]) == pytest.approx(0.04)


def test_a_clock_that_is_slow_is() -> None:
    slow = [at * 1.01 for at in LONG]
    assert drift(slow) > 0.02


def test_a_call_that_was_hardly_heard_says_nothing() -> None:
    assert drift(LONG[: 2 * SETTLED - 1]) == float("inf")
