"""Clocks. Code that needs the time is given a ``Clock``.

Wall time is an ``int`` of milliseconds since the epoch (``Millis``), because it is stored, compared
and printed. Monotonic time is a ``float`` of seconds, because it is only subtracted.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

Millis = int


class Clock(Protocol):
    def now(self) -> Millis:
        """Wall time in milliseconds since the epoch."""
        ...

    def monotonic(self) -> float:
        """Seconds since an arbitrary moment. They never decrease."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def now(self) -> Millis:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()


class SteadyClock:
    """Wall time that does not jump: the wall time at the start, continued by the monotonic clock.

    Durations and deadlines use it, so that a change of the machine's clock ends no call.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offset = 0
        self.set(clock.now())

    def now(self) -> Millis:
        return self._offset + self._elapsed()

    def monotonic(self) -> float:
        return self._clock.monotonic()

    def wall(self) -> Millis:
        """The current time of the machine's wall clock."""
        return self._clock.now()

    def set(self, now: Millis) -> None:
        """Set the time to ``now``."""
        self._offset = now - self._elapsed()

    def _elapsed(self) -> Millis:
        return round(self._clock.monotonic() * 1000)


@dataclass(frozen=True, slots=True)
class Uptime:
    """Time since the machine was booted. ``boot`` is an id of this boot."""

    boot: str
    millis: Millis


def uptime() -> Uptime | None:
    """Return the uptime; ``None`` on systems other than Linux."""
    with suppress(OSError, AttributeError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return Uptime(boot, time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000)
    return None


def iso(at: Millis) -> str:
    """ISO 8601 in UTC with milliseconds and ``Z``: ``2026-06-21T14:30:45.123Z``."""
    moment = datetime.fromtimestamp(at // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{at % 1000:03d}Z"
