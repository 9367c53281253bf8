"""Lateness of ticks: a histogram since the start, and each tick of the last minute."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque

BOUNDS = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.05, 0.1, 1.0)
"""Upper bounds of the histogram in seconds; one more bucket follows the last."""

LATE = 0.01
"""Seconds from which a tick counts as late: half a frame."""

RECENT = 3000
"""Ticks of the last minute."""


class Lateness:
    """Used by the engine's thread only, without a lock."""

    __slots__ = ("counts", "late", "recent", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.late = 0
        self.total = 0.0
        """Sum of all ticks' lateness in seconds."""
        self.recent: deque[float] = deque(maxlen=RECENT)

    def note(self, seconds: float) -> None:
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds
        if seconds >= LATE:
            self.late += 1
        self.recent.append(seconds)
