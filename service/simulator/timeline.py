"""The events of a call with their times. Thread-safe."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from service.clock import Clock


@dataclass(frozen=True, slots=True)
class Event:
    """An event ``at`` some seconds after the first one."""

    at: float
    name: str
    detail: str | None = None


class Timeline:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._started_at: float | None = None
        self._changed = threading.Condition()
        self._events: list[Event] = []

    def record(self, name: str, detail: str | None = None) -> None:
        with self._changed:
            now = self._clock.monotonic()
            if self._started_at is None:
                self._started_at = now
            self._events.append(Event(now - self._started_at, name, detail))
            self._changed.notify_all()

    @property
    def events(self) -> tuple[Event, ...]:
        with self._changed:
            return tuple(self._events)

    def first(self, name: str) -> Event | None:
        return next((event for event in self.events if event.name == name), None)

    def wait_for(self, name: str, count: int, timeout: float) -> Event:
        """Wait for the ``count``-th event of this name. Raises ``TimeoutError``."""

        def found() -> Event | None:
            named = [event for event in self._events if event.name == name]
            return named[count - 1] if len(named) >= count else None

        with self._changed:
            event = self._changed.wait_for(found, timeout)
            if event is None:
                seen = ", ".join(event.name for event in self._events) or "nothing"
                raise TimeoutError(f"No {name} within {timeout:g} seconds; there was: {seen}.")
            return event
