"""The 20 ms grid: the time of the next tick, and catching up after a delay.

Ticks lie on a fixed monotonic grid, so lateness never adds up to drift. Pure: the time is an
argument.
"""

from __future__ import annotations

from service.domain.wire import PERIOD
from service.media.engine.lateness import Lateness

CATCH_UP = 3
"""Missed ticks that are caught up with, while providers still have audio to play.

After a longer delay their buffers have run dry, and every frame caught up with would add delay for
the rest of the call. All missed ticks are then skipped and counted.
"""


class TickClock:
    """Ticks at ``start + n * PERIOD``; while catching up, at twice that rate, never in a burst.

    ``number`` is the number of the last tick. It counts skipped ticks too, and the time without
    legs, so that it measures time like the clock itself. It begins at ``first``.
    """

    __slots__ = ("_earliest", "_first", "_next", "_start", "lateness", "number", "skipped")

    def __init__(self, start: float, first: int = 0) -> None:
        self.skipped = 0
        self.number = self._first = first
        self._start = start
        self.lateness = Lateness()
        self.restart(start)

    def restart(self, at: float) -> None:
        """Begin a new grid after a time without legs."""
        self.number = max(self.number, self._first + int((at - self._start) / PERIOD))
        self._next = at + PERIOD
        self._earliest = at

    def wait(self, at: float) -> float:
        """Return the seconds until the next tick; 0 if it is due."""
        return max(0.0, max(self._next, self._earliest) - at)

    def stalled(self, at: float) -> bool:
        """Whether too many ticks were missed to catch up, so that the next one will skip them."""
        return self._behind(at) > CATCH_UP

    def advance(self, at: float) -> bool:
        """Return whether a tick is due, and count it if it is."""
        if self.wait(at) > 0.0:
            return False
        self.lateness.note(at - self._next)
        behind = self._behind(at)
        if behind > CATCH_UP:
            self.skipped += behind
            self.number += behind
            self._next += behind * PERIOD
        self.number += 1
        self._next += PERIOD
        self._earliest = at + PERIOD / 2
        return True

    def _behind(self, at: float) -> int:
        """Return the number of missed ticks after the one that is due."""
        return int((at - self._next) / PERIOD)
