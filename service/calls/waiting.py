"""Threads that wait for a call to be answered or to end, a few at a time.

They are threads of the server's pool, which also answers webhooks: so only ``MOST`` may wait at
once, and whoever comes then is told so at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Lock

MOST = 4


class Waiters:
    """Thread-safe."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._events: dict[str, Event] = {}

    @contextmanager
    def seat(self, call_id: str) -> Iterator[Event | None]:
        """An event that is set when something happens to the call; ``None`` where all are taken."""
        with self._lock:
            event = None if len(self._events) >= MOST else Event()
            if event is not None:
                self._events[call_id] = event
        try:
            yield event
        finally:
            with self._lock:
                if event is not None:
                    del self._events[call_id]

    def wake(self, call_id: str) -> None:
        with self._lock:
            event = self._events.get(call_id)
        if event is not None:
            event.set()
