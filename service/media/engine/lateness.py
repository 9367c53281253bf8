"""How late ticks were: counted by how much since the start, and one by one for the last minute."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque

BOUNDS = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.05, 0.1, 1.0)
"""Upper bounds, in seconds; whatever is beyond the last is counted behind it."""

LATE = 0.01
"""Seconds from which a tick counts as late: half a frame."""

RECENT = 3000
"""Ticks of the last minute."""


class Lateness:
    """Of one thread, whose every tick it is told of: plain numbers, and no lock."""

    __slots__ = ("counts", "late", "recent", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.late = 0
        self.total = 0.0
        """Seconds, of all ticks together."""
        self.recent: deque[float] = deque(maxlen=RECENT)

    def note(self, seconds: float) -> None:
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds
        if seconds >= LATE:
            self.late += 1
        self.recent.append(seconds)
