"""The time by which calls are measured while the machine's wall clock is set.

Deadlines and durations of calls use a steady clock: the wall time as it was, continued by the
monotonic clock. It is set to the wall time when no call is up. A process that starts continues the
steady time of the last process if that left calls behind on this machine since it was booted.
Otherwise it uses the wall clock.

All processes of a machine use one steady time: its base is a row, which one of them changes and the
others follow. Several machines use the database's time, because a call may go from one to another.
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
        self._base: TimeBase | None = None

    def begin(self) -> None:
        """Continue the time of the processes before or beside this one, if calls are up."""
        up = self._measure()
        base = None if up is None else self._bases.find(up.boot)
        has_calls = self._calls.live() > 0
        # Again after the queries, because the database may be slow.
        up = self._measure()
        if up is not None and base is not None and has_calls:
            now = base.began_at + up.millis
            if abs(now - self._clock.wall()) > TOLERATED_MILLIS:
                self._clock.set(now)
                self._has_warned = True
                logger.warning("%s: calls go on by the time of the process before", self._step())
        self._base = self._own_base()
        if self._base is not None:
            self._bases.save(self._base)

    def follow(self) -> bool:
        """Follow a change of the time by another process. Take over a wall time that was set, once
        no call is up. Called once a second. Returns whether another process has changed the time.
        """
        if self._follow_others():
            return True
        if abs(self._clock.wall() - self._clock.now()) <= TOLERATED_MILLIS:
            self._has_warned = False
        elif not self._calls.live():
            self._follow_wall()
        elif not self._has_warned:
            self._has_warned = True
            logger.warning("%s: calls go on by the time before", self._step())
        return False

    def _follow_others(self) -> bool:
        if self._base is None:
            return False
        stored, up = self._bases.find(self._base.boot), self._measure()
        if stored is None or up is None or stored == self._base:
            return False
        self._base = stored
        now = stored.began_at + up.millis
        if abs(now - self._clock.now()) <= TOLERATED_MILLIS:
            return False
        self._clock.set(now)
        logger.warning("%s: another process has changed the time of calls", self._step())
        return True

    def _follow_wall(self) -> None:
        step, up, wall = self._step(), self._measure(), self._clock.wall()
        base = None if up is None else TimeBase(up.boot, wall - up.millis)
        if self._base is not None and base is not None:
            if not self._bases.replace(self._base, base):
                # A call has begun meanwhile, or another process was faster.
                return
            self._base = base
        self._clock.set(self._clock.wall())
        logger.info("%s, and is followed from now on", step)

    def _own_base(self) -> TimeBase | None:
        up = self._measure()
        return None if up is None else TimeBase(up.boot, self._clock.now() - up.millis)

    def _step(self) -> str:
        seconds = (self._clock.wall() - self._clock.now()) / 1000
        return f"the wall clock was set by {seconds:+.0f} s"


class SharedTimekeeper(Timekeeper):
    """Keeps the database's time, where several machines serve. For the recorder's thread alone."""

    def begin(self) -> None:
        self.follow()

    def follow(self) -> bool:
        """Follow the database's clock. Called once a second. Returns whether the time has changed
        by more than is tolerated.
        """
        before = self._clock.monotonic()
        read = self._bases.now()
        millis = round((self._clock.monotonic() - before) * 1000)
        # A slow answer does not say when the time was read.
        if millis > TOLERATED_MILLIS:
            return False
        now = read + millis // 2
        ahead = self._clock.now() - now
        if abs(ahead) <= TOLERATED_MILLIS:
            return False
        self._clock.set(now)
        logger.warning(
            "calls go on by the database's time, from which this machine's differed by %+.0f s",
            ahead / 1000,
        )
        return True
