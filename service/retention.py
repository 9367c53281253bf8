"""Retention: a thread that deletes history little by little, and rests between two pieces.

Whoever else wants to write meanwhile waits for one piece at most.
"""

from __future__ import annotations

import logging
import threading

from service.errors import Busy
from service.storage.history import History
from service.times import Clock, Millis

logger = logging.getLogger(__name__)

EVERY_SECONDS = 60.0
"""Between two looks for what is to be deleted."""

REST_SECONDS = 0.02
"""Between two pieces."""

REF_HOURS = 1
"""How long a used or expired reference is known as such; afterwards it is unknown."""

HOUR = 3_600_000
DAY = 24 * HOUR


class Retention:
    """Thread-safe. The thread is started once, after any fork."""

    def __init__(self, history: History, clock: Clock, keep_days: int) -> None:
        """Calls are kept for so many days after their ends; for good where that is 0."""
        self._history = history
        self._clock = clock
        self._keep_days = keep_days
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()

    @property
    def is_alive(self) -> bool:
        """False where the thread has ended and nobody told it to."""
        return self._thread is None or self._thread.is_alive() or self._stopping.is_set()

    def start(self) -> None:
        """Start the thread, unless it runs."""
        if self._thread is not None:
            return
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="retention", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

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
        """Rest; false where the process ends."""
        return not self._stopping.wait(REST_SECONDS)

    def _run(self) -> None:
        while not self._stopping.wait(EVERY_SECONDS):
            try:
                self.sweep()
            except Busy as error:
                logger.warning("old calls are still to be deleted: %s", error.message)
            except Exception:
                logger.exception("old calls could not be deleted")
