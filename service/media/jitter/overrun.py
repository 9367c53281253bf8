"""Overruns: buffers that are full all the time, not only after a stall.

The peer sends faster than real time, and would stay delayed by the buffer's whole length.
Pure: times are arguments, in monotonic seconds.
"""

from __future__ import annotations

FULL_SECONDS = 10.0
"""Seconds for which a buffer may be full."""

FULL_PAUSE = 2.0
"""Seconds for which a buffer still counts as full after it was."""

REST = 50
"""Frames kept after an overrun, at most: a second."""

OVERRUN = "audio came faster than it can be heard, and most of what waited was dropped"
"""Detail of the ladder's step."""


class Overrun:
    """``since`` is when the buffer became full, and ``last`` when it was last seen full."""

    __slots__ = ("count", "last", "since")

    def __init__(self) -> None:
        self.count = 0
        """Overruns so far."""
        self.since = self.last = float("-inf")

    def full(self, at: float) -> bool:
        """Record a full buffer. Returns whether it was full for too long and must be emptied."""
        if at > self.last + FULL_PAUSE:
            self.since = at
        self.last = at
        if at < self.since + FULL_SECONDS:
            return False
        self.count += 1
        self.since = at
        return True
