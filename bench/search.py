"""How many calls a server can take: when a run is good, and how the largest good one is found.

Pure: a run is a function from a number of calls to a ``Reading``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from bench.job import Reading

ANSWERED = 0.999
"""Share of its frames that a server must have sent."""

HEARD = 0.995
"""Share of the frames spoken that must be heard. One hiccup of the machine makes a delay grow, and
a server that brings it down again has to leave a frame out: in twenty seconds that is 0.1 %."""

EXACT = 0.99
"""Share of the frames heard that must be exact in their mix. The rest is for fades over a gap."""

LATENESS = 20.0
LATENCY = 60.0
"""Milliseconds that the 99th percentile may reach."""

GENERATOR_CPU = 0.9
GENERATOR_LATENESS = 5.0
"""Cores and milliseconds beyond which a run says more of the load generator than of the server."""

STRANGERS = 0.05
"""Share of the machine that others may take."""

STRIDE = 1.2
"""Factor between two numbers of calls until the answer is enclosed."""


def faults(reading: Reading) -> list[str]:
    """What makes a run a bad one; nothing, where it is good."""
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


def spoilers(reading: Reading) -> list[str]:
    """Why a bad run proves nothing: what else than the server may have made it bad."""
    found = []
    if reading.strangers > STRANGERS:
        found.append(f"others took {reading.strangers:.0%} of the machine")
    if reading.generator_cpu > GENERATOR_CPU:
        found.append(f"the generator took {reading.generator_cpu:.0%} of its core")
    if reading.generator_lateness_p99 > GENERATOR_LATENESS:
        found.append(f"the generator was {reading.generator_lateness_p99:.0f} ms late")
    return found


def largest(
    good: Callable[[int], bool], guess: int, *, unit: int, ceiling: int, precision: float
) -> int:
    """The largest multiple of ``unit`` up to ``ceiling`` that is good; 0 where none is.

    The answer is within ``precision``, a factor such as 1.05, of one that is not good.
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
    """A good long run with ``calls``, or with as few less as it takes; ``None`` where none is."""
    while calls >= unit:
        reading = run(calls)
        if not faults(reading):
            return reading
        calls = min(calls - unit, int(calls * 0.95) // unit * unit)
    return None


def bounded(readings: Sequence[Reading], limit: Reading | None) -> bool:
    """Whether nothing but the load generator or the search's ceiling set this limit."""
    most = limit.calls if limit else 0
    bad = [reading for reading in readings if reading.calls >= most and faults(reading)]
    return all(spoilers(reading) for reading in bad)
