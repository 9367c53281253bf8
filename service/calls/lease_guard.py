"""The lease guard: at most one process serves from the database at a time."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from service.errors import Busy
from service.storage.lease import RENEW_SECONDS, Lease

logger = logging.getLogger(__name__)

RELEASE_SECONDS = 2.0
"""Seconds for which ``close`` waits for the thread to release the lease."""


class LeaseGuard:
    """Thread-safe. ``lost`` is called when another process has taken the lease."""

    def __init__(self, lease: Lease, lost: Callable[[], None]) -> None:
        self._lease = lease
        self._lost = lost
        self._lock = threading.Lock()
        self._released = threading.Event()
        self._thread: threading.Thread | None = None
        self.holds = False

    def acquire(self) -> bool:
        """Take the lease, unless it is held or was released. Raises ``Busy``."""
        with self._lock:
            if not self.holds and not self._released.is_set() and self._lease.take():
                self.holds = True
                if self._lease.lapses:
                    self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)
                    self._thread.start()
            return self.holds

    def release(self) -> None:
        """Release the lease for the next process, without waiting."""
        with self._lock:
            self._released.set()
            held, self.holds = self.holds, False
            if held and self._thread is None:
                self._lease.release()

    def close(self) -> None:
        """Release the lease, and wait up to ``RELEASE_SECONDS`` for it."""
        self.release()
        if self._thread is not None:
            self._thread.join(RELEASE_SECONDS)

    @property
    def is_alive(self) -> bool:
        return self._thread is None or self._thread.is_alive() or not self.holds

    def _renew(self) -> None:
        while not self._released.wait(RENEW_SECONDS):
            if not self._still_held():
                logger.error("another server has taken this database: this one ends")
                self.holds = False
                self._lost()
                return
        try:
            self._lease.release()
        except Busy as error:
            logger.warning("the database is not given back in time: %s", error.message)

    def _still_held(self) -> bool:
        try:
            return self._lease.renew()
        except Busy:
            # No other server can take it either, and the outage is logged by the database.
            return True
        except Exception:
            logger.exception("the lease of the database could not be renewed")
            return True
