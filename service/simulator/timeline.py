"""What happened during a call, and when; safe to read and wait on from any thread."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from service.clock import Clock


@dataclass(frozen=True, slots=True)
class Event:
    """``at`` is in seconds since the first event."""

    at: float
    name: str
    detail: str | None = None


class Timeline:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began: float | None = None
        self._changed = threading.Condition()
        self._events: list[Event] = []

    def record(self, name: str, detail: str | None = None) -> None:
        with self._changed:
            now = self._clock.monotonic()
            if self._began is None:
                self._began = now
            self._events.append(Event(now - self._began, name, detail))
            self._changed.notify_all()

    @property
    def events(self) -> tuple[Event, ...]:
        with self._changed:
            return tuple(self._events)

    def first(self, name: str) -> Event | None:
        return next((event for event in self.events if event.name == name), None)

    def wait_for(self, name: str, count: int, timeout: float) -> Event:
        """The event of this name for the ``count``-th time. Raises ``TimeoutError``."""

        def found() -> Event | None:
            named = [event for event in self._events if event.name == name]
            return named[count - 1] if len(named) >= count else None

        with self._changed:
            event = self._changed.wait_for(found, timeout)
            if event is None:
                seen = ", ".join(event.name for event in self._events) or "nothing"
                raise TimeoutError(f"No {name} within {timeout:g} seconds; there was: {seen}.")
            return event
