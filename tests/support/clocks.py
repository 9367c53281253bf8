"""A clock that moves only when a test moves it."""

from __future__ import annotations

from service.clock import Millis


class FakeClock:
    """``Clock`` for tests. Starts at 2026-06-21T14:30:45.123Z; both times advance together, and the
    wall time can be set.
    """

    def __init__(self) -> None:
        self._millis: Millis = 0
        self._set_by: Millis = 0

    def now(self) -> Millis:
        return 1_782_052_245_123 + self._millis + self._set_by

    def monotonic(self) -> float:
        return 1_000.0 + self._millis / 1000

    def advance(self, seconds: float) -> None:
        self._millis += round(seconds * 1000)

    def step(self, seconds: float) -> None:
        """Set the wall clock, as NTP or an operator does."""
        self._set_by += round(seconds * 1000)
