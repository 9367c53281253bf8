"""Statistics of the whole engine: its ticks, and the frames of all legs since its start."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import astuple, dataclass
from functools import reduce
from itertools import chain
from operator import add

from service.media.engine.clock import TickClock
from service.media.engine.lateness import BOUNDS
from service.media.rooms.fault_log import FaultLog
from service.media.rooms.leg import Leg
from service.media.rooms.live_rooms import LiveRooms


@dataclass(frozen=True, slots=True)
class Frames:
    """Frames of 20 ms; ``lost`` and ``late`` count chunks. ``dropped`` frames were cut to shorten
    the delay, and ``unsent`` ones because a peer did not read.
    """

    received: int = 0
    sent: int = 0
    late: int = 0
    lost: int = 0
    dropped: int = 0
    unsent: int = 0

    def __add__(self, other: Frames) -> Frames:
        return Frames(*map(sum, zip(astuple(self), astuple(other), strict=True)))


@dataclass(frozen=True, slots=True)
class EngineStats:
    """Statistics since the engine's thread began; ``sockets``, ``joined`` and ``requests`` are
    current values.

    ``lateness`` counts ticks by ``lateness.BOUNDS``, ``late_seconds`` is their sum, and ``recent``
    has each tick of the last minute in seconds. ``skipped`` ticks were not caught up with.
    ``joined`` counts the sockets in a room, ``requests`` the commands in the engine's queue, and
    ``faults`` the exceptions that the engine has recovered from.
    """

    lateness: tuple[int, ...] = (0,) * (len(BOUNDS) + 1)
    late_seconds: float = 0.0
    late: int = 0
    skipped: int = 0
    recent: tuple[float, ...] = ()
    frames: Frames = Frames()
    sockets: int = 0
    joined: int = 0
    requests: int = 0
    faults: int = 0


def together(answers: Sequence[EngineStats]) -> EngineStats:
    """Return the statistics of several engines as those of one."""
    return EngineStats(
        lateness=tuple(map(sum, zip(*(each.lateness for each in answers), strict=True))),
        late_seconds=sum(each.late_seconds for each in answers),
        late=sum(each.late for each in answers),
        skipped=sum(each.skipped for each in answers),
        recent=tuple(chain.from_iterable(each.recent for each in answers)),
        frames=reduce(add, (each.frames for each in answers)),
        sockets=sum(each.sockets for each in answers),
        joined=sum(each.joined for each in answers),
        requests=sum(each.requests for each in answers),
        faults=sum(each.faults for each in answers),
    )


class StatsCollector:
    """Sums of the closed legs' counters. Used by the engine's thread only."""

    def __init__(self, faults: FaultLog) -> None:
        self._closed = Frames()
        self._faults = faults

    def add(self, leg: Leg) -> None:
        """Add the counters of a closed leg."""
        self._closed += _frames([leg])

    def collect(
        self, legs: Collection[Leg], rooms: LiveRooms, ticks: TickClock, requests: int
    ) -> EngineStats:
        """Return all statistics, including those of open legs, whose buffers stay in the batch."""
        lateness, buffers = ticks.lateness, rooms.buffers
        return EngineStats(
            lateness=tuple(lateness.counts),
            late_seconds=lateness.total,
            late=lateness.late,
            skipped=ticks.skipped,
            recent=tuple(lateness.recent),
            frames=self._closed
            + _frames(legs)
            + Frames(received=buffers.taken, dropped=buffers.dropped),
            sockets=len(legs),
            joined=len(rooms),
            requests=requests,
            faults=self._faults.count,
        )


def _frames(legs: Collection[Leg]) -> Frames:
    buffers = [leg.buffer for leg in legs if leg.buffer is not None]
    return Frames(
        received=sum(buffer.stats.taken for buffer in buffers),
        sent=sum(leg.frames_out for leg in legs),
        late=sum(buffer.chunks.late for buffer in buffers),
        lost=sum(buffer.chunks.lost for buffer in buffers),
        dropped=sum(buffer.stats.dropped for buffer in buffers),
        unsent=sum(leg.line.dropped for leg in legs),
    )
