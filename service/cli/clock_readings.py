"""Offsets of other clocks from this machine's, as far as a question and its answer show them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from service.clock import Millis


@dataclass(frozen=True, slots=True)
class ClockReading:
    """Another clock is ahead of this machine's by ``offset``, give or take ``error``."""

    offset: Millis
    error: Millis

    @classmethod
    def of(cls, sent: Millis, theirs: Millis, received: Millis) -> ClockReading:
        """Judge an answer that was given between ``sent`` and ``received`` of this machine."""
        half = (received - sent) // 2
        return cls(theirs - sent - half, half + 1)

    def apart(self, other: ClockReading) -> Millis:
        """Return how far the two clocks are apart at least."""
        distance = abs(self.offset - other.offset) - self.error - other.error
        return max(0, distance)


def read_clock(now: Callable[[], Millis], ask: Callable[[], Millis | None]) -> ClockReading | None:
    """Ask another clock, which has ``None`` where it is this machine's own."""
    sent = now()
    theirs = ask()
    return None if theirs is None else ClockReading.of(sent, theirs, now())
