"""Retention: a thread that deletes old history in small transactions, with pauses between them.

Other writers wait for at most one of these transactions.
"""

from __future__ import annotations

import logging

from service.clock import Clock, Millis
from service.errors import Busy
from service.process.background import BackgroundThread
from service.storage.calls.history import History

logger = logging.getLogger(__name__)

EVERY_SECONDS = 60.0
"""Interval of the sweeps."""

REST_SECONDS = 0.02
"""Pause between two transactions."""

REF_HOURS = 1
"""Hours for which a used or expired reference is kept. After that it is unknown."""

HOUR = 3_600_000
DAY = 24 * HOUR


class Retention(BackgroundThread):
    def __init__(self, history: History, clock: Clock, keep_days: int) -> None:
        """Keep calls for ``keep_days`` after they end, or for ever if it is 0."""
        super().__init__("retention")
        self._history = history
        self._clock = clock
        self._keep_days = keep_days

    def sweep(self) -> None:
        """Delete everything that is old enough."""
        now = self._clock.now()
        while self._history.forget_refs(now - REF_HOURS * HOUR) and self._rests():
            pass
        if self._keep_days:
            self._forget(now - self._keep_days * DAY)

    def _forget(self, before: Millis) -> None:
        seen: int | None = 0
        while seen is not None and self._rests():
            seen = self._history.forget_calls(before, seen)
        while self._history.forget_deliveries(before) and self._rests():
            pass

    def _rests(self) -> bool:
        """Pause. Return false where the process ends."""
        return not self._stopping.wait(REST_SECONDS)

    def _run(self) -> None:
        while not self._stopping.wait(EVERY_SECONDS):
            try:
                self.sweep()
            except Busy as error:
                logger.warning("old calls are still to be deleted: %s", error.message)
            except Exception:
                logger.exception("old calls could not be deleted")
