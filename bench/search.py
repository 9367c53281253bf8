"""Find the highest number of calls that a server carries without faults.

This file does no I/O: a run is a function from a number of calls to a ``Reading``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from bench.job import Reading

ANSWERED = 0.999
"""Minimum share of its frames that a server sends."""

HEARD = 0.995
"""Minimum share of the sent frames that is heard. One stall of the machine increases the delay, and
a server that reduces it again has to drop a frame: in twenty seconds that is 0.1 %."""

EXACT = 0.99
"""Minimum share of the heard frames that is exact in its mix. The rest allows fades over gaps."""

LATENESS = 20.0
LATENCY = 60.0
"""Maximum milliseconds of the 99th percentile."""

GENERATOR_CPU = 0.9
GENERATOR_LATENESS = 5.0
"""Cores and milliseconds above which a run measures the load generator, not the server."""

OTHERS_CPU = 0.05
"""Maximum share of the machine that other processes take."""

STRIDE = 1.2
"""Factor between two numbers of calls until the limit is bracketed."""


def faults(reading: Reading) -> list[str]:
    """Return the faults of a run; none for a good run."""
    found = []
    if reading.lost:
        found.append(f"{reading.lost} sockets lost")
    if reading.heard < HEARD:
        found.append(f"{reading.heard:.2%} of frames heard")
    if reading.answered < ANSWERED:
        found.append(f"{reading.answered:.2%} of frames sent")
    if reading.exact < EXACT:
        found.append(f"{reading.exact:.1%} of frames exact")
    if reading.lateness_p99 > LATENESS:
        found.append(f"p99 lateness {reading.lateness_p99:.0f} ms")
    if reading.latency_p99 > LATENCY:
        found.append(f"p99 latency {reading.latency_p99:.0f} ms")
    return found


def disturbances(reading: Reading) -> list[str]:
    """Return the causes other than the server that may have made a run bad."""
    found = []
    if reading.strangers > OTHERS_CPU:
        found.append(f"others took {reading.strangers:.0%} of the machine")
    if reading.generator_cpu > GENERATOR_CPU:
        found.append(f"the generator took {reading.generator_cpu:.0%} of its core")
    if reading.generator_lateness_p99 > GENERATOR_LATENESS:
        found.append(f"the generator was {reading.generator_lateness_p99:.0f} ms late")
    return found


def largest(
    good: Callable[[int], bool], guess: int, *, unit: int, ceiling: int, precision: float
) -> int:
    """Return the largest good multiple of ``unit`` up to ``ceiling``; 0 if none is good.

    ``precision``, a factor such as 1.05, is the maximum distance to a number that is not good.
    """

    top = ceiling // unit
    low, high = 0, top + 1
    tried = min(max(guess // unit, 1), top)
    while True:
        if good(tried * unit):
            low = tried
        else:
            high = tried
        if high - low == 1 or (low and high <= min(low * precision, top)):
            return low * unit
        if high > top:
            tried = min(math.ceil(low * STRIDE), top)
        elif not low:
            tried = int(high / STRIDE)
        else:
            tried = (low + high) // 2


def confirmed(run: Callable[[int], Reading], calls: int, *, unit: int) -> Reading | None:
    """Return a good long run with ``calls``, reduced until it is good; ``None`` if none is."""
    while calls >= unit:
        reading = run(calls)
        if not faults(reading):
            return reading
        calls = min(calls - unit, int(calls * 0.95) // unit * unit)
    return None


def bounded(readings: Sequence[Reading], limit: Reading | None) -> bool:
    """Return whether the load generator or the search's ceiling alone set this limit."""
    most = limit.calls if limit else 0
    bad = [reading for reading in readings if reading.calls >= most and faults(reading)]
    return all(disturbances(reading) for reading in bad)
