"""Overruns: how long a buffer must be full until it is cut, and how much is kept."""

from __future__ import annotations

import pytest

from service.domain.wire import PERIOD, Encoding
from service.media.jitter.buffer import BURST_CAPACITY, JitterBuffer
from service.media.jitter.overrun import FULL_PAUSE, FULL_SECONDS, REST, Overrun
from service.media.jitter.pace import PACED_CAPACITY

FRAME = bytes(320)


def test_a_full_buffer_is_an_overrun_after_a_while() -> None:
    overrun = Overrun()
    times = [1_000.0 + second for second in range(round(FULL_SECONDS))]
    assert not any(overrun.full(at) for at in times)
    assert overrun.full(1_000.0 + FULL_SECONDS)
    assert overrun.count == 1


def test_the_next_overrun_takes_as_long_again() -> None:
    overrun = Overrun()
    found = [second for second in range(100) if overrun.full(1_000.0 + second)]
    assert found == [10, 20, 30, 40, 50, 60, 70, 80, 90]
    assert overrun.count == len(found)


def test_an_occasionally_full_buffer_is_no_overrun() -> None:
    overrun = Overrun()
    assert not any(overrun.full(1_000.0 + n * (FULL_PAUSE + 0.1)) for n in range(100))


def run(buffer: JitterBuffer, factor: float, seconds: float) -> list[float]:
    """Send at ``factor`` times real time; return the depth of the buffer at each tick."""
    depths, sent = [], 0.0
    for number in range(round(seconds / PERIOD)):
        at = 1_000.0 + number * PERIOD
        sent += factor
        while sent >= 1:
            sent -= 1
            buffer.push(FRAME, at)
        depths.append(buffer.depth)
        buffer.take(at + 0.01)
    return depths


@pytest.mark.parametrize("factor", [1.1, 1.5, 2.0])
def test_a_phone_that_is_too_fast_is_cut_to_half_the_buffer_every_ten_seconds(
    factor: float,
) -> None:
    buffer = JitterBuffer(Encoding.LINEAR, paced=True)
    depths = run(buffer, factor, 35)
    assert buffer.overrun.count == 3
    assert max(depths) == pytest.approx(PACED_CAPACITY * PERIOD)
    assert buffer.stats.dropped == pytest.approx((factor - 1) * 35 / PERIOD, rel=0.05)


def test_an_agent_that_is_always_ahead_is_not_a_minute_late_forever() -> None:
    buffer = JitterBuffer(Encoding.LINEAR, paced=False)
    minute = BURST_CAPACITY * PERIOD
    depths = run(buffer, 2.0, minute + FULL_SECONDS + 1)
    assert max(depths) == pytest.approx(minute)
    assert buffer.overrun.count == 1
    assert depths[-1] < 3 * REST * PERIOD


def test_an_agent_that_is_a_minute_ahead_once_is_played_completely() -> None:
    buffer = JitterBuffer(Encoding.LINEAR, paced=False)
    for _ in range(BURST_CAPACITY + 500):
        buffer.push(FRAME, 1_000.0)
    assert buffer.stats.dropped == 500
    depths = run(buffer, 0, 30)
    assert buffer.overrun.count == 0
    assert depths[-1] == pytest.approx(30, abs=2 * PERIOD)


@pytest.mark.parametrize("factor", [0.99, 1.0, 1.01])
def test_normal_clock_differences_are_no_overrun(factor: float) -> None:
    buffer = JitterBuffer(Encoding.LINEAR, paced=True)
    run(buffer, factor, 120)
    assert buffer.overrun.count == 0
