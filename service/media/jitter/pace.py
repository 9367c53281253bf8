"""Delay of a real-time peer's audio, and the capacity that its buffer needs for it.

Frames are expected at the rate of the earliest recent ones. A frame more than 80 ms later was held
up by the network, and the next ones arrive all at once. The capacity then grows, so that they are
heard and the next such stall is bridged. It shrinks by a frame with every calm window. For audio
that is ahead of its time, a burst, the capacity does not grow.
Pure: times are arguments, in monotonic seconds. ``BatchJitterBuffer`` does the same for many legs.
"""

from __future__ import annotations

import math

from service.domain.wire import PERIOD

PACED_CAPACITY = 6
"""Frames kept for a peer that sends in real time: 120 ms. Older audio is dropped."""

LONGEST_CAPACITY = 15
"""Frames kept for a peer whose network stalls: 300 ms, which bridges a TCP retransmission."""

SPARE = 2
"""Frames of capacity beyond the late ones: the frames that wait already, and ordinary jitter."""

LEAK = 0.1 * PERIOD
"""Seconds by which the expected time moves per frame, to follow a slower clock or losses."""

RENEWAL = 0.5
"""Seconds of lateness beyond which no stall is bridged: the late frame sets a new base."""

SETTLE = 0.5
"""Seconds after a stall of this process in which the buffer may not grow."""


class Pace:
    """``base`` is the lowest recent transit: time of arrival minus the audio before the frame."""

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
        """Estimate when audio arrived, between ``earliest`` and ``at``."""
        if self.base is None:
            return at
        return max(earliest, min(at, self.base + span))

    def note(self, transit: float, frames: float) -> bool:
        """Record the transit of this many frames. Returns whether the capacity has grown."""
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
        """Return how many frames may wait after ``frames`` have arrived at once, and been noted.

        A peer may send in real time in long chunks, which must fit.
        """
        if frames <= 1:
            return self.capacity
        if frames <= LONGEST_CAPACITY:
            return max(self.capacity, min(2 * frames, LONGEST_CAPACITY))
        return self.capacity if self._is_ahead else frames + PACED_CAPACITY

    def calm(self, waiting: float) -> None:
        """End a calm window, with this many frames ``waiting``."""
        if self.capacity > PACED_CAPACITY and waiting < self.capacity:
            self.capacity -= 1

    def settle(self, at: float, waiting: int) -> None:
        """End a stall of this process: audio that arrived during it does not count as late."""
        ceiling = max(2, waiting + 1)
        self.ceiling = min(self.ceiling, ceiling) if at < self.settles else ceiling
        self.settles = at + SETTLE
