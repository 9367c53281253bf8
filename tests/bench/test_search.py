"""Faults of a run, and the search for a server's limit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from bench.job import Reading
from bench.search import bounded, confirmed, disturbances, faults, largest
from tests.support.readings import GOOD


def test_a_good_run_has_no_faults() -> None:
    assert faults(GOOD) == []
    assert not disturbances(GOOD)


@pytest.mark.parametrize(
    ("name", "allowed", "excess"),
    [
        ("heard", 0.995, 0.9949),
        ("answered", 0.999, 0.9989),
        ("exact", 0.99, 0.989),
        ("lateness_p99", 20.0, 20.1),
        ("latency_p99", 60.0, 60.1),
        ("lost", 0, 1),
    ],
)
def test_each_limit_makes_a_run_bad_by_itself(name: str, allowed: float, excess: float) -> None:
    assert faults(replace(GOOD, **{name: allowed})) == []
    assert len(faults(replace(GOOD, **{name: excess}))) == 1


def test_a_run_without_any_audio_is_bad() -> None:
    nothing = replace(GOOD, heard=0.0, answered=0.0, exact=0.0, latency_p99=float("inf"))
    assert len(faults(nothing)) == 4


@pytest.mark.parametrize(
    ("name", "allowed", "excess"),
    [("generator_cpu", 0.9, 0.91), ("generator_lateness_p99", 5.0, 5.1), ("strangers", 0.05, 0.06)],
)
def test_a_run_is_disturbed_by_the_generator_and_by_other_processes(
    name: str, allowed: float, excess: float
) -> None:
    assert not disturbances(replace(GOOD, **{name: allowed}))
    assert disturbances(replace(GOOD, **{name: excess}))


@pytest.mark.parametrize("limit", [2, 3, 20, 149, 186, 430, 968, 1500, 2399])
@pytest.mark.parametrize("guess", [2, 170, 900, 5000])
def test_the_search_finds_a_planted_limit_from_any_guess(limit: int, guess: int) -> None:
    tried: list[int] = []

    def good(calls: int) -> bool:
        tried.append(calls)
        return calls <= limit

    found = largest(good, guess, unit=2, ceiling=2400, precision=1.05)
    assert found % 2 == 0
    assert found <= limit < max(found * 1.05, found + 2)
    assert len(tried) == len(set(tried)), "a run was made twice"


def test_the_search_is_short_if_the_guess_is_near() -> None:
    tried: list[int] = []

    def good(calls: int) -> bool:
        tried.append(calls)
        return calls <= 900

    largest(good, 850, unit=2, ceiling=2400, precision=1.06)
    assert len(tried) <= 4


def test_the_search_ends_at_its_ceiling() -> None:
    assert largest(lambda calls: True, 100, unit=10, ceiling=2400, precision=1.05) == 2400


def test_the_search_returns_zero_if_no_run_is_good() -> None:
    assert largest(lambda calls: False, 300, unit=10, ceiling=2400, precision=1.05) == 0


def server(limit: int, tried: list[int]) -> Callable[[int], Reading]:
    def run(calls: int) -> Reading:
        tried.append(calls)
        return replace(GOOD, calls=calls, heard=1.0 if calls <= limit else 0.9)

    return run


def test_a_limit_that_fails_the_long_run_is_lowered_until_it_passes() -> None:
    tried: list[int] = []
    reading = confirmed(server(390, tried), 430, unit=10)
    assert reading is not None
    assert reading.calls == tried[-1] == 380
    assert tried == [430, 400, 380]


def test_a_server_that_takes_no_calls_has_no_limit() -> None:
    assert confirmed(server(0, []), 40, unit=2) is None
    assert confirmed(server(0, []), 0, unit=2) is None


def test_a_limit_is_the_server_s_if_a_bad_run_was_undisturbed() -> None:
    limit = replace(GOOD, calls=400)
    bad = replace(GOOD, calls=420, heard=0.5)
    disturbed = replace(bad, generator_cpu=0.99)
    assert not bounded([limit, bad, disturbed], limit)
    assert bounded([limit, disturbed], limit)
    assert bounded([limit], limit)
    assert bounded([replace(bad, calls=100), limit, disturbed], limit)
    assert not bounded([bad], None)
