"""Pace: how late a real-time peer's audio is, and how much of it to keep.

A peer's frames are expected at the pace of the earliest that came lately. A frame more than
80 ms later than that was held up by the network, and the next ones arrive all at once: the capacity
grows, so that they are heard and the next such stall is bridged. It shrinks by a frame with every
calm window. Audio ahead of its time is a burst, for which the capacity does not grow.
Pure: times are arguments, in monotonic seconds. ``BatchJitterBuffer`` does the same for many legs.
"""

from __future__ import annotations

import math

from service.domain.wire import PERIOD

PACED_CAPACITY = 6
"""Frames kept for a peer that sends in real time: 120 ms. What is older is too late to be worth
hearing."""

LONGEST_CAPACITY = 15
"""Frames kept for one whose network stalls: 300 ms, with which a retransmission of TCP is bridged.
"""

SPARE = 2
"""Frames of capacity beyond those that were late: what waits already, and their ordinary jitter."""

LEAK = 0.1 * PERIOD
"""Seconds by which the expected time of a frame gives way: it follows a slower clock, or losses."""

RENEWAL = 0.5
"""Seconds of lateness beyond which nothing is bridged: the late frame sets the new pace."""

SETTLE = 0.5
"""Seconds after a stall of our own in which no more is kept than before it."""


class Pace:
    """``base`` is the lowest transit lately: a frame's time of arrival less the audio before it."""

    __slots__ = ("_is_ahead", "base", "capacity", "ceiling", "settles")

    def __init__(self, capacity: int) -> None:
        self.base: float | None = None
        self.capacity = capacity
        """Frames that are kept."""
        self.ceiling = 0
        """Frames that are kept until ``settles``."""
        self.settles = float("-inf")
        self._is_ahead = True

    def arrival(self, at: float, span: float, earliest: float) -> float:
        """Estimate when audio arrived, which was between ``earliest`` and ``at``."""
        if self.base is None:
            return at
        return max(earliest, min(at, self.base + span))

    def note(self, transit: float, frames: float) -> bool:
        """Note the transit of so many frames. Returns whether the capacity has grown for it."""
        self._is_ahead = self.base is None or transit < self.base - PERIOD
        if self.base is None:
            self.base = transit
            return False
        late = transit - self.base
        if late > RENEWAL:
            self.base = transit
            return False
        self.base = min(transit, self.base + LEAK * frames)
        wanted = min(math.ceil(late / PERIOD) + SPARE, LONGEST_CAPACITY)
        if wanted <= PACED_CAPACITY or wanted < self.capacity - 1:
            return False
        self.capacity = max(self.capacity, wanted)
        return True

    def room(self, frames: float) -> float:
        """Frames that may wait when so many have come at once, and been noted.

        A peer may send in real time in long pieces, for which there must be room.
        """
        if frames <= 1:
            return self.capacity
        if frames <= LONGEST_CAPACITY:
            return max(self.capacity, min(2 * frames, LONGEST_CAPACITY))
        return self.capacity if self._is_ahead else frames + PACED_CAPACITY

    def calm(self, waiting: float) -> None:
        """End a calm window, after which so many frames wait."""
        if self.capacity > PACED_CAPACITY and waiting < self.capacity:
            self.capacity -= 1

    def settle(self, at: float, waiting: int) -> None:
        """Note a stall of our own that is over: audio from within it does not count as late."""
        ceiling = max(2, waiting + 1)
        self.ceiling = min(self.ceiling, ceiling) if at < self.settles else ceiling
        self.settles = at + SETTLE
