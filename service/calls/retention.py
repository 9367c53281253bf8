"""Retention: a thread that deletes old history in small transactions, with pauses between them.

Other writers wait for at most one of these transactions. One node at a time deletes, because others
would find the same rows.
"""

from __future__ import annotations

import logging

from service.clock import Clock, Millis
from service.errors import Busy
from service.process.background import BackgroundThread
from service.storage.calls.history import History
from service.storage.leases import WORK_LEASE_SECONDS
from service.storage.work_leases import WorkLeases

logger = logging.getLogger(__name__)

EVERY_SECONDS = 60.0
"""Interval of the sweeps."""

REST_SECONDS = 0.02
"""Pause between two transactions."""

REF_HOURS = 1
"""Hours for which a used or expired reference is kept. After that it is unknown."""

WORK = "retention"
"""The name of the lease."""

HOUR = 3_600_000
DAY = 24 * HOUR


class Retention(BackgroundThread):
    def __init__(
        self,
        history: History,
        leases: WorkLeases,
        clock: Clock,
        keep_days: int,
        every_seconds: float = EVERY_SECONDS,
    ) -> None:
        """Keep calls for ``keep_days`` after they end, or for ever if it is 0."""
        super().__init__("retention")
        self._history = history
        self._leases = leases
        self._clock = clock
        self._keep_days = keep_days
        self._every_seconds = every_seconds
        self._renew_at = 0.0

    def sweep(self) -> None:
        """Delete everything that is old enough, unless another node does."""
        if not self._claim():
            return
        try:
            self._delete()
        finally:
            self._leases.release(WORK)

    def _claim(self) -> bool:
        self._renew_at = self._clock.monotonic() + WORK_LEASE_SECONDS / 2
        return self._leases.claim(WORK)

    def _delete(self) -> None:
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
        """Pause. Return false where the process ends, or another node deletes now."""
        if self._stopping.wait(REST_SECONDS):
            return False
        return self._clock.monotonic() < self._renew_at or self._claim()

    def _run(self) -> None:
        while not self._stopping.wait(self._every_seconds):
            try:
                self.sweep()
            except Busy as error:
                logger.warning("old calls are still to be deleted: %s", error.message)
            except Exception:
                logger.exception("old calls could not be deleted")
