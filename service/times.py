"""What time it is. Everything that needs the time is given a ``Clock``.

Wall time is an ``int`` of milliseconds since the epoch (``Millis``), because it is
stored, compared and printed; monotonic time is a ``float`` of seconds, because it is
only ever subtracted.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol

Millis = int


class Clock(Protocol):
    def now(self) -> Millis:
        """Wall time in milliseconds since the epoch."""
        ...

    def monotonic(self) -> float:
        """Seconds since some fixed moment, never going back."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def now(self) -> Millis:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()


def iso(at: Millis) -> str:
    """ISO 8601 in UTC with milliseconds and ``Z``: ``2026-06-21T14:30:45.123Z``."""
    moment = datetime.fromtimestamp(at // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{at % 1000:03d}Z"
