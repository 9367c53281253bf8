"""Receivers whose latest response was slow, so that the next one is likely to hold a thread."""

from __future__ import annotations

from threading import Lock

SLOW_SECONDS = 1.0


class SlowReceivers:
    """Thread-safe. It is not stored: after a restart no receiver counts as slow."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._slow: set[str] = set()

    def __contains__(self, receiver: str) -> bool:
        with self._lock:
            return receiver in self._slow

    def answered(self, receiver: str, seconds: float) -> None:
        """Note how long a response took."""
        with self._lock:
            (self._slow.add if seconds > SLOW_SECONDS else self._slow.discard)(receiver)

    def forget(self, receiver: str) -> None:
        """Forget a receiver that was deleted."""
        with self._lock:
            self._slow.discard(receiver)
