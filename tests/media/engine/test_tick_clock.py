"""The 20 ms grid: no drift, no bursts, and stalls that are skipped and counted."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest

from service.domain.wire import PERIOD
from service.media.engine.clock import CATCH_UP, TickClock

START = 1000.0
ROUNDING = 1e-6


def test_the_first_tick_is_due_one_period_after_the_start() -> None:
    clock = TickClock(START)
    assert clock.wait(START) == pytest.approx(PERIOD)
    assert not clock.advance(START)
    assert not clock.advance(START + PERIOD - 0.001)
    assert clock.advance(START + PERIOD + ROUNDING)


def test_a_tick_is_due_once() -> None:
    clock = TickClock(START)
    at = START + PERIOD + ROUNDING
    assert clock.advance(at)
    assert not clock.advance(at)
    assert clock.wait(at) == pytest.approx(PERIOD, abs=2 * ROUNDING)


def test_reading_the_wait_time_changes_nothing() -> None:
    clock = TickClock(START)
    at = START + PERIOD + ROUNDING
    assert clock.wait(at) == clock.wait(at) == 0.0
    assert clock.advance(at)


def test_random_lateness_for_an_hour_causes_no_drift() -> None:
    random = Random(1)
    clock = TickClock(START)
    at = START
    ticks = 0
    while at < START + 3600:
        at += clock.wait(at) + ROUNDING
        due = at
        at += random.expovariate(1000) if random.random() < 0.99 else random.uniform(0, 0.05)
        assert clock.advance(at)
        ticks += 1
        # Every tick was at its point on the grid, or later only while catching up.
        assert due >= START + ticks * PERIOD - ROUNDING
    assert clock.skipped == 0
    assert abs(ticks - (at - START) / PERIOD) <= CATCH_UP + 1


@pytest.mark.parametrize("lateness", [0.021, 0.04, 0.059])
def test_a_short_delay_is_made_up_at_twice_the_rate(lateness: float) -> None:
    clock = TickClock(START)
    at = START + PERIOD + lateness
    ticks = []
    while at < START + 0.3:
        assert clock.advance(at)
        ticks.append(at)
        at += clock.wait(at) + ROUNDING
    gaps = [after - before for before, after in pairwise(ticks)]
    assert min(gaps) >= PERIOD / 2
    assert gaps[0] == pytest.approx(PERIOD / 2, abs=2 * ROUNDING)
    assert gaps[-1] == pytest.approx(PERIOD, abs=2 * ROUNDING)
    assert clock.skipped == 0
    assert len(ticks) == int((ticks[-1] - START + ROUNDING) / PERIOD)


def test_two_ticks_are_at_least_half_a_period_apart() -> None:
    random = Random(2)
    clock = TickClock(START)
    at = START
    last = START - PERIOD
    for _ in range(20_000):
        at += random.choice((0.0005, 0.003, 0.01, 0.07, 0.3))
        if clock.advance(at):
            assert at - last >= PERIOD / 2 - ROUNDING
            last = at


def test_a_stall_of_a_second_is_skipped_and_counted() -> None:
    clock = TickClock(START)
    at = START + PERIOD + 1.0 + ROUNDING
    ticks = 0
    while at < START + 2.0:
        if clock.advance(at):
            ticks += 1
        at += max(clock.wait(at), ROUNDING)
    assert clock.skipped == 50
    assert ticks + clock.skipped == pytest.approx(2.0 / PERIOD, abs=1.5)


@pytest.mark.parametrize("stall", [0.081, 0.1, 0.5, 3.0, 3600.0])
def test_ticks_of_a_stall_beyond_the_catch_up_are_skipped(stall: float) -> None:
    """A provider that plays everything would keep each extra tick as delay."""
    clock = TickClock(START)
    at = START + PERIOD + stall + ROUNDING
    assert clock.stalled(at)
    ticks = []
    while len(ticks) < 20:
        if clock.advance(at):
            ticks.append(at)
        assert not clock.stalled(at)
        at += max(clock.wait(at), ROUNDING)
    # The next tick is the next point of the grid, which may be soon.
    assert ticks[1] - ticks[0] >= PERIOD / 2 - ROUNDING
    assert min(after - before for before, after in pairwise(ticks[1:])) > PERIOD - 3 * ROUNDING
    assert clock.skipped == int((stall + ROUNDING) / PERIOD)


@pytest.mark.parametrize("stall", [0.021, 0.04, 0.079])
def test_a_delay_within_the_catch_up_is_no_stall(stall: float) -> None:
    clock = TickClock(START)
    at = START + PERIOD + stall
    assert not clock.stalled(at)
    assert clock.advance(at)
    assert clock.skipped == 0


def test_ticks_after_a_stall_are_on_the_old_grid() -> None:
    clock = TickClock(START)
    at = START + 1.0 + 0.013
    for _ in range(20):
        at += clock.wait(at) + ROUNDING
        assert clock.advance(at)
    off = (at - START) % PERIOD
    assert min(off, PERIOD - off) < 1e-4


def test_a_restart_begins_a_new_grid_without_ticks_for_the_idle_time() -> None:
    clock = TickClock(START)
    clock.restart(START + 500.013)
    assert clock.wait(START + 500.013) == pytest.approx(PERIOD)
    assert clock.advance(START + 500.0331)
    assert clock.wait(START + 500.0331) == pytest.approx(PERIOD, abs=2e-4)
    assert clock.skipped == 0


def test_skipped_ticks_are_still_counted_after_a_restart() -> None:
    clock = TickClock(START)
    clock.advance(START + 10)
    skipped = clock.skipped
    assert skipped > 0
    clock.restart(START + 20)
    assert clock.skipped == skipped


def test_a_tick_is_recorded_with_its_lateness() -> None:
    clock = TickClock(START)
    assert clock.advance(START + PERIOD + 0.001)
    assert not clock.advance(START + PERIOD + 0.002)
    assert clock.advance(START + 2 * PERIOD + 0.012)
    assert list(clock.lateness.recent) == pytest.approx([0.001, 0.012])
    assert clock.lateness.late == 1


def test_only_the_first_tick_of_a_stall_has_its_whole_lateness() -> None:
    clock = TickClock(START)
    at = START + PERIOD + 2.0 + ROUNDING
    assert clock.advance(at)
    assert clock.advance(at + PERIOD)
    assert list(clock.lateness.recent) == pytest.approx([2.0, 0.0], abs=2 * ROUNDING)


def test_ticks_are_numbered_like_the_time_also_over_stalls_and_pauses() -> None:
    clock, at, random = TickClock(START, 7_000), START, Random(3)
    numbers = []
    for _ in range(3_000):
        at += random.choice([0.001, 0.005, 0.02, 0.03, 0.3])
        if random.random() < 0.02:
            for _ in range(random.randrange(40)):
                at += 0.005
                clock.restart(at)
        if clock.advance(at):
            numbers.append(clock.number)
            # While it catches up, a tick is for an earlier time than its own.
            assert -1 <= (at - START) / PERIOD - (clock.number - 7_000) < CATCH_UP + 2
    assert all(before < after for before, after in pairwise(numbers))


def test_ticks_without_a_stall_are_numbered_one_by_one() -> None:
    clock = TickClock(START, 7)
    numbers = []
    for tick in range(1, 50):
        assert clock.advance(START + tick * PERIOD + 0.003)
        numbers.append(clock.number)
    assert numbers == list(range(8, 57))
