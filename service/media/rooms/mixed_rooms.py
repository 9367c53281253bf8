"""All rooms of the process by id, and the plan by which they are mixed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from service.domain import ids
from service.media.jitter.batch import BatchJitterBuffer
from service.media.rooms.leg import Leg
from service.media.rooms.live_levels import LiveLevels
from service.media.rooms.mix import MixPlan
from service.media.rooms.recovery import probe, sift, withdraw
from service.media.rooms.room import Room
from service.media.rooms.tap import Tap


class MixedRooms:
    """Used by the engine's thread only."""

    def __init__(self) -> None:
        self._rooms: dict[str, Room] = {}
        self.buffers = BatchJitterBuffer()
        self._plan = MixPlan((), self.buffers)
        self._planned: dict[str, tuple[Leg, ...]] = {}  # the legs in the plan by room id
        self._changed: set[str] = set()
        self._changes = 0  # of the plan

    def __getitem__(self, room_id: str) -> Room:
        return self._rooms[room_id]

    def get(self, room_id: str) -> Room | None:
        return self._rooms.get(room_id)

    def enter(self, leg: Leg) -> Room:
        """Return the leg's room. The first leg begins the room's session."""
        spec = leg.spec
        room = self._rooms.get(spec.room_id)
        if room is None:
            session_id = spec.session_id or ids.new_session_id()
            room = self._rooms[spec.room_id] = Room(spec.room_id, session_id)
        self._changed.add(room.id)
        return room

    def leave(self, leg: Leg) -> None:
        room = self._rooms[leg.spec.room_id]
        room.leave(leg)
        if not room.legs:
            del self._rooms[room.id]
        self._changed.add(room.id)

    def replace(self, old: Leg, new: Leg) -> None:
        """Replace a leg by another one of the same call."""
        self._rooms[new.spec.room_id].replace(old, new)
        self._changed.add(new.spec.room_id)

    def tick(self, at: float) -> list[Leg]:
        """Mix and send one frame of every room. Returns the legs sent audio for the first time.

        After any exception ``rebuild`` must be called.
        """
        return self._arranged().tick(at)

    def feed(self, tap: Tap, tick: int) -> None:
        """Give the tap what was heard in the last tick, whose number is ``tick``."""
        tap.take(self._plan.heard, tick, self._plan.rows, self._changes)

    def settle(self, at: float) -> None:
        """End a stall of this process: no leg keeps the audio of the skipped ticks."""
        self.buffers.settle(at)
        for room in self._rooms.values():
            for leg in room.legs:
                if leg.buffer is not None and leg.buffer.owner is None:
                    leg.buffer.settle(at)

    def audible_at(self, leg: Leg) -> float:
        """Return the last tick at which a leg was audible, if its room has three legs or more."""
        return self._plan.audible_at(leg)

    def live_levels(self) -> Mapping[str, LiveLevels]:
        """Return each leg's levels and buffer statistics by call id."""
        return self._arranged().live_levels()

    def rebuild(self, legs: Sequence[Leg], at: float) -> None:
        """Rebuild the state of all ``legs`` after an exception in a tick."""
        probe(legs, self.buffers, at)
        withdraw(legs, self.buffers)
        self.buffers = BatchJitterBuffer()
        self._plan = MixPlan((), self.buffers)
        self._planned.clear()
        self._changed = set(self._rooms)

    def sift(self, at: float) -> list[Leg]:
        """Find the legs that make ticks fail, by ticking them apart, and fail them.

        Call it after ``rebuild``, and ``rebuild`` again after it.
        """
        return sift([room.legs for room in self._rooms.values()], self.buffers, at)

    def _arranged(self) -> MixPlan:
        """Return the plan, updated for the rooms that have changed."""
        if self._changed:
            before = [self._planned.pop(room_id, ()) for room_id in self._changed]
            after = {
                room_id: tuple(self._rooms[room_id].legs)
                for room_id in self._changed
                if room_id in self._rooms
            }
            self._plan.change(before, list(after.values()))
            self._planned.update(after)
            self._changed.clear()
            self._changes += 1
            if self._plan.is_sparse:
                self._plan = MixPlan(self._planned.values(), self.buffers, self._plan)
        return self._plan
