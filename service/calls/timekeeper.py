"""The time by which calls are measured while the machine's wall clock is set.

Deadlines and durations of calls use a steady clock: the wall time as it was, continued by the
monotonic clock. It is set to the wall time when no call is up. A process that starts continues the
steady time of the last process if that left calls behind on this machine since it was booted.
Otherwise it uses the wall clock.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from service.clock import SteadyClock, Uptime, uptime
from service.storage.calls.calls import Calls
from service.storage.time_bases import TimeBase, TimeBases

logger = logging.getLogger(__name__)

TOLERATED_MILLIS = 2_000
"""Difference between steady and wall time that is ignored."""


class Timekeeper:
    """For the recorder's thread alone."""

    def __init__(
        self,
        clock: SteadyClock,
        calls: Calls,
        bases: TimeBases,
        measure: Callable[[], Uptime | None] = uptime,
    ) -> None:
        self._clock = clock
        self._calls = calls
        self._bases = bases
        self._measure = measure
        self._has_warned = False

    def begin(self) -> None:
        """Continue the time of the last process, if calls of it are up."""
        base, has_calls = self._bases.find(), self._calls.live() > 0
        # Read after the queries, because the database may be slow.
        up = self._measure()
        if up is not None and base is not None and up.boot == base.boot and has_calls:
            now = base.began_at + up.millis
            if abs(now - self._clock.wall()) > TOLERATED_MILLIS:
                self._clock.set(now)
                self._has_warned = True
                logger.warning("%s: calls go on by the time of the process before", self._step())
        self._save()

    def follow(self) -> None:
        """Take over a wall time that was set, once no call is up. Called once a second."""
        if abs(self._clock.wall() - self._clock.now()) <= TOLERATED_MILLIS:
            self._has_warned = False
        elif not self._calls.live():
            logger.info("%s, and is followed from now on", self._step())
            self._clock.set(self._clock.wall())
            self._save()
        elif not self._has_warned:
            self._has_warned = True
            logger.warning("%s: calls go on by the time before", self._step())

    def _save(self) -> None:
        up = self._measure()
        if up is not None:
            self._bases.save(TimeBase(up.boot, self._clock.now() - up.millis))

    def _step(self) -> str:
        seconds = (self._clock.wall() - self._clock.now()) / 1000
        return f"the wall clock was set by {seconds:+.0f} s"
