"""What time it is. Everything that needs the time is given a ``Clock``.

Wall time is an ``int`` of milliseconds since the epoch (``Millis``), because it is
stored, compared and printed; monotonic time is a ``float`` of seconds, because it is
only ever subtracted.
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
        """Seconds since some fixed moment, never going back."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def now(self) -> Millis:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()


class SteadyClock:
    """Wall time that does not jump: as it was, carried on by the monotonic clock.

    Durations and deadlines use it, so that setting the machine's clock ends nothing.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offset = 0
        self.go_on(clock.now())

    def now(self) -> Millis:
        return self._offset + self._elapsed()

    def monotonic(self) -> float:
        return self._clock.monotonic()

    def wall(self) -> Millis:
        """What the machine's wall clock says now."""
        return self._clock.now()

    def go_on(self, now: Millis) -> None:
        """Count from ``now`` on."""
        self._offset = now - self._elapsed()

    def _elapsed(self) -> Millis:
        return round(self._clock.monotonic() * 1000)


@dataclass(frozen=True, slots=True)
class Uptime:
    """How long the machine has been up; ``boot`` names this boot of it and no other."""

    boot: str
    millis: Millis


def uptime() -> Uptime | None:
    """``None`` where the system does not tell, as only Linux does."""
    with suppress(OSError, AttributeError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return Uptime(boot, time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000)
    return None


def iso(at: Millis) -> str:
    """ISO 8601 in UTC with milliseconds and ``Z``: ``2026-06-21T14:30:45.123Z``."""
    moment = datetime.fromtimestamp(at // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{at % 1000:03d}Z"
