"""How receivers have fared lately: who fails, who is slow, and since how many attempts.

The log is told when a receiver begins to fail and when it is well again, and not of each attempt.
"""

from __future__ import annotations

import logging
from threading import Lock

logger = logging.getLogger(__name__)

SLOW_SECONDS = 1.0


class ReceiverHealth:
    """Thread-safe. It begins anew with the process, and everybody is well then."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._failures: dict[str, int] = {}
        self._slow: set[str] = set()

    def is_suspect(self, receiver: str) -> bool:
        """Whether the next attempt may well hold a thread for long."""
        with self._lock:
            return receiver in self._failures or receiver in self._slow

    def answered(self, receiver: str, seconds: float) -> None:
        """It took an event, after so long."""
        with self._lock:
            failures = self._failures.pop(receiver, 0)
            (self._slow.add if seconds > SLOW_SECONDS else self._slow.discard)(receiver)
        if failures:
            logger.info("webhooks arrive at %s again, after %d failures", receiver, failures)

    def failed(self, receiver: str, attempts: int, error: str) -> int:
        """It did not take an event, for which there have been so many attempts.

        Returns how often it has failed in a row.
        """
        with self._lock:
            before = self._failures.get(receiver)
            failures = self._failures[receiver] = (attempts - 1 if before is None else before) + 1
        if before is None:
            logger.warning("webhooks do not arrive at %s: %s", receiver, error)
        return failures

    def forget(self, receiver: str) -> None:
        """It is gone."""
        with self._lock:
            self._failures.pop(receiver, None)
            self._slow.discard(receiver)
