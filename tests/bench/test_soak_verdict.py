"""Checks of a soak test: the server's resources at rest, before and after."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.soak.verdict import SETTLED, LongCall, Snapshot, long_call, table, verdict

REST = Snapshot(threads=20, descriptors=40, files=12, memory=200 * 2**20, rows=0)
LONG = [number * 0.02 for number in range(4 * SETTLED)]


def heard(drifts: list[float]) -> list[LongCall]:
    return [LongCall(1000, drift, 0) for drift in drifts]


def complaints(after: Snapshot, drifts: list[float]) -> list[str]:
    return [row.name for row in verdict(REST, after, heard(drifts), pool_files=30) if not row.holds]


def test_resources_that_return_to_their_start_hold() -> None:
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
def test_a_resource_that_does_not_return_fails(change: dict[str, int], name: str) -> None:
    after = replace(REST, **change)
    assert complaints(after, [0.0]) == [name]
    assert f"{name:<38}" in table(verdict(REST, after, heard([0.0]), pool_files=30))


@pytest.mark.parametrize("drifts", [[], [0.0, 0.021], [-0.021]])
def test_drift_of_more_than_a_frame_fails(drifts: list[float]) -> None:
    assert complaints(REST, drifts)[0] == f"drift of {len(drifts)} long calls, ms"


def test_one_frame_of_a_thousand_may_be_left_out() -> None:
    rows = verdict(REST, REST, [LongCall(10_000, 0.0, 10)], pool_files=30)
    assert all(row.holds for row in rows)
    rows = verdict(REST, REST, [LongCall(10_000, 0.0, 11)], pool_files=30)
    assert [row.name for row in rows if not row.holds] == ["frames left out"]


def test_late_frames_are_neither_drift_nor_left_out() -> None:
    found = long_call([at + 0.3 * (number % 3 > 0) for number, at in enumerate(LONG)])
    assert (found.drift, found.left_out) == (pytest.approx(0.0), 0)


def test_missing_frames_are_left_out_and_no_drift() -> None:
    found = long_call(LONG[: 2 * SETTLED] + LONG[2 * SETTLED + 2 :])
    assert (found.drift, found.left_out) == (pytest.approx(0.0), 2)


def test_a_slow_clock_drifts() -> None:
    found = long_call([at * 1.005 for at in LONG])
    assert (found.drift, found.left_out) == (pytest.approx(0.015), 0)


def test_a_call_with_too_few_frames_has_infinite_drift() -> None:
    assert long_call(LONG[: 2 * SETTLED - 1]).drift == float("inf")
