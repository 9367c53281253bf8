"""Overruns: a buffer that is full not once, after a stall, but all the time.

Its peer sends faster than real time, and would be heard as late as the buffer is long for ever.
Pure: times are arguments, in monotonic seconds.
"""

from __future__ import annotations

FULL_SECONDS = 10.0
"""How long a buffer may be full."""

FULL_PAUSE = 2.0
"""Seconds for which a buffer still counts as full after it was."""

REST = 50
"""Frames at most that are kept then: a second."""

OVERRUN = "audio came faster than it can be heard, and most of what waited was dropped"
"""What the ladder says of it."""


class Overrun:
    """``since`` is when it began to be full, and ``last`` when it was found so last."""

    __slots__ = ("count", "last", "since")

    def __init__(self) -> None:
        self.count = 0
        """Times at which the buffer had been full for too long."""
        self.since = self.last = float("-inf")

    def full(self, at: float) -> bool:
        """The buffer is full: whether it has been for too long, and is to be emptied."""
        if at > self.last + FULL_PAUSE:
            self.since = at
        self.last = at
        if at < self.since + FULL_SECONDS:
            return False
        self.count += 1
        self.since = at
        return True
