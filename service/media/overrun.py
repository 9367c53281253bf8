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


class Overrun:
    __slots__ = ("_full_at", "_since", "count")

    def __init__(self) -> None:
        self.count = 0
        """Times at which the buffer had been full for too long."""
        self._since = self._full_at = float("-inf")

    def full(self, at: float) -> bool:
        """The buffer is full: whether it has been for too long, and is to be emptied."""
        if at > self._full_at + FULL_PAUSE:
            self._since = at
        self._full_at = at
        if at < self._since + FULL_SECONDS:
            return False
        self.count += 1
        self._since = at
        return True
