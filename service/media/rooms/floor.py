"""The floor: all rooms of the process, and the bridge on which they are mixed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from service.domain import ids
from service.media.jitter.batch import BatchJitterBuffer
from service.media.rooms.leg import Leg
from service.media.rooms.live_levels import LiveLevels
from service.media.rooms.mix import MixPlan
from service.media.rooms.recovery import probe, sift, withdraw
from service.media.rooms.room import Room


class Floor:
    """Of one thread, like the exchange that it belongs to. Rooms are known by their ids."""

    def __init__(self) -> None:
        self._rooms: dict[str, Room] = {}
        self.buffers = BatchJitterBuffer()
        self._bridge = MixPlan((), self.buffers)
        self._seated: dict[str, tuple[Leg, ...]] = {}  # as the bridge has them
        self._changed: set[str] = set()

    def __getitem__(self, room_id: str) -> Room:
        return self._rooms[room_id]

    def get(self, room_id: str) -> Room | None:
        return self._rooms.get(room_id)

    def enter(self, leg: Leg) -> Room:
        """The room of the leg's spec, whose session begins with the first to come."""
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
        """Give the place of a leg to another one of its call."""
        self._rooms[new.spec.room_id].replace(old, new)
        self._changed.add(new.spec.room_id)

    def tick(self, at: float) -> list[Leg]:
        """Mix and send one frame of every room; the legs that heard something for the first time.

        Raises whatever goes wrong with it. ``rebuild`` is the way to go on.
        """
        return self._arranged().tick(at)

    def settle(self, at: float) -> None:
        """Note a stall of our own, whose ticks are skipped: no leg keeps more audio for it."""
        self.buffers.settle(at)
        for room in self._rooms.values():
            for leg in room.legs:
                if leg.buffer is not None and leg.buffer.owner is None:
                    leg.buffer.settle(at)

    def audible_at(self, leg: Leg) -> float:
        """The last tick at which a leg was audible to the others in a room of three or more."""
        return self._bridge.audible_at(leg)

    def live_levels(self) -> Mapping[str, LiveLevels]:
        """Return the live_levels of each leg, by call id."""
        return self._arranged().live_levels()

    def rebuild(self, legs: Sequence[Leg], at: float) -> None:
        """Rebuild the state after a fault of ours, with all ``legs``."""
        probe(legs, self.buffers, at)
        withdraw(legs, self.buffers)
        self.buffers = BatchJitterBuffer()
        self._bridge = MixPlan((), self.buffers)
        self._seated.clear()
        self._changed = set(self._rooms)

    def sift(self, at: float) -> list[Leg]:
        """Fail the legs that make ticks fail, by a tick in which each may fail alone.

        To be called after ``rebuild``, and before another one.
        """
        return sift([room.legs for room in self._rooms.values()], self.buffers, at)

    def _arranged(self) -> MixPlan:
        """The bridge, with what has changed in the rooms it concerns and in no other."""
        if self._changed:
            before = [self._seated.pop(room_id, ()) for room_id in self._changed]
            after = {
                room_id: tuple(self._rooms[room_id].legs)
                for room_id in self._changed
                if room_id in self._rooms
            }
            self._bridge.change(before, list(after.values()))
            self._seated.update(after)
            self._changed.clear()
            if self._bridge.is_sparse:
                self._bridge = MixPlan(self._seated.values(), self.buffers, self._bridge)
        return self._bridge
