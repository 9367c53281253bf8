"""How the media engine fares as a whole: its ticks, and the frames of all legs there were."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import astuple, dataclass

from service.media.engine.clock import TickClock
from service.media.engine.lateness import BOUNDS
from service.media.rooms.faults import Faults
from service.media.rooms.leg import Leg
from service.media.rooms.live_rooms import LiveRooms


@dataclass(frozen=True, slots=True)
class Frames:
    """Frames are 20 ms; ``lost`` and ``late`` count chunks. ``dropped`` ones were cut to keep a
    delay short, and ``unsent`` ones because a peer did not read.
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
    """Since the engine's thread began, but for ``sockets``, ``joined`` and ``requests``.

    ``lateness`` counts ticks by ``lateness.BOUNDS``, ``late_seconds`` is their sum, and ``recent``
    has each of the last minute in seconds. ``skipped`` ticks were never made up for. Of the
    ``sockets``, those ``joined`` are in a room. ``requests`` wait for the engine,
    and ``faults`` of ours it has come through.
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


class StatsCollector:
    """Of the engine's thread: what legs have counted that are gone."""

    def __init__(self, faults: Faults) -> None:
        self._gone = Frames()
        self._faults = faults

    def add(self, leg: Leg) -> None:
        """A leg has been closed."""
        self._gone += _frames([leg])

    def figures(
        self, legs: Collection[Leg], exchange: LiveRooms, ticks: TickClock, requests: int
    ) -> EngineStats:
        """With the legs that are up: their buffers stay where they are."""
        lateness, buffers = ticks.lateness, exchange.buffers
        return EngineStats(
            lateness=tuple(lateness.counts),
            late_seconds=lateness.total,
            late=lateness.late,
            skipped=ticks.skipped,
            recent=tuple(lateness.recent),
            frames=self._gone
            + _frames(legs)
            + Frames(received=buffers.taken, dropped=buffers.dropped),
            sockets=len(legs),
            joined=len(exchange),
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
