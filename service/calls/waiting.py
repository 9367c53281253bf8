"""Request threads that wait for a call to be answered or to end.

They are threads of the pool that also answers webhooks, so only ``MOST`` may wait at a time. A
request beyond that does not wait.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Lock

MOST = 4


class Waiters:
    """Thread-safe."""

    def __init__(self, pass_on: Callable[[str], object] = lambda call_id: None) -> None:
        """``pass_on`` is told which call has changed, for threads of other processes."""
        self._pass_on = pass_on
        self._lock = Lock()
        self._events: dict[str, Event] = {}

    @contextmanager
    def slot(self, call_id: str) -> Iterator[Event | None]:
        """Yield an event that is set when the call changes, or ``None`` if all slots are taken."""
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
        self.wake_here(call_id)
        self._pass_on(call_id)

    def wake_here(self, call_id: str) -> None:
        """Wake the threads of this process only."""
        with self._lock:
            event = self._events.get(call_id)
        if event is not None:
            event.set()
