"""The recent health of webhook receivers: failures in a row, and slow responses.

The log has a line when a receiver begins to fail and when it succeeds again, and none for each
attempt.
"""

from __future__ import annotations

import logging
from threading import Lock

logger = logging.getLogger(__name__)

SLOW_SECONDS = 1.0


class ReceiverHealth:
    """Thread-safe. It is not stored: after a restart every receiver counts as healthy."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._failures: dict[str, int] = {}
        self._slow: set[str] = set()

    def is_suspect(self, receiver: str) -> bool:
        """Whether the next attempt is likely to hold a thread for long."""
        with self._lock:
            return receiver in self._failures or receiver in self._slow

    def answered(self, receiver: str, seconds: float) -> None:
        """Note a successful delivery, and how long it took."""
        with self._lock:
            failures = self._failures.pop(receiver, 0)
            (self._slow.add if seconds > SLOW_SECONDS else self._slow.discard)(receiver)
        if failures:
            logger.info("webhooks to %s succeed again after %d failures", receiver, failures)

    def failed(self, receiver: str, attempts: int, error: str) -> int:
        """Note a failed delivery, and return how many have failed in a row.

        ``attempts`` counts the failures of this event, including those before this process.
        """
        with self._lock:
            before = self._failures.get(receiver)
            failures = self._failures[receiver] = (attempts - 1 if before is None else before) + 1
        if before is None:
            logger.warning("webhooks to %s fail: %s", receiver, error)
        return failures

    def forget(self, receiver: str) -> None:
        """Forget a receiver that was deleted."""
        with self._lock:
            self._failures.pop(receiver, None)
            self._slow.discard(receiver)
