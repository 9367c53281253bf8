"""The 20 ms grid: when the next tick is due, and what to do after falling behind.

Ticks lie on a fixed monotonic grid, so lateness never adds up to drift. Pure: the time is an
argument.
"""

from __future__ import annotations

from service.media.lateness import Lateness

PERIOD = 0.02
"""Seconds between ticks."""

CATCH_UP = 3
"""Ticks made up for after a stall. More would leave that much delay in the providers' buffers,
which play what they get in order; what was missed beyond that is skipped and counted."""


class TickClock:
    """Ticks at ``start + n * PERIOD``; while catching up, at twice that rate, never in a burst."""

    __slots__ = ("_earliest", "_next", "lateness", "skipped")

    def __init__(self, start: float) -> None:
        self.skipped = 0
        self.lateness = Lateness()
        self.restart(start)

    def restart(self, at: float) -> None:
        """Begin a new grid, after an idle time that nobody was there to hear."""
        self._next = at + PERIOD
        self._earliest = at

    def wait(self, at: float) -> float:
        """Seconds until the next tick is due; 0 when it is."""
        return max(0.0, max(self._next, self._earliest) - at)

    def due(self, at: float) -> bool:
        """Whether to tick now; answering yes counts as having ticked."""
        if self.wait(at) > 0.0:
            return False
        self.lateness.note(at - self._next)
        behind = int((at - self._next) / PERIOD)
        if behind > CATCH_UP:
            self.skipped += behind - CATCH_UP
            self._next += (behind - CATCH_UP) * PERIOD
        self._next += PERIOD
        self._earliest = at + PERIOD / 2
        return True
