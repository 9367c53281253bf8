"""The leases of the rooms that a node mixes. They are given out by ``placement``."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import bindparam, delete, exists, or_, select

from service.storage.database import Database
from service.storage.tables import alive, calls, nodes, room_leases

OWN = room_leases.c.node_id == bindparam("node")
IDLE = ~exists().where(calls.c.room_id == room_leases.c.room_id, alive()).correlate(room_leases)
RELEASABLE = or_(OWN, room_leases.c.node_id.not_in(select(nodes.c.id))) & IDLE

# An admission that has locked a lease is about to add a call to its room.
CANDIDATES = (
    select(room_leases.c.room_id)
    .where(RELEASABLE)
    .order_by(room_leases.c.room_id)
    .with_for_update(skip_locked=True)
)
# Checked again: until the lease was locked, a call may have come into the room.
RELEASED = delete(room_leases).where(
    room_leases.c.room_id.in_(bindparam("rooms", expanding=True)), RELEASABLE
)
HELD = select(room_leases.c.room_id).where(OWN)


class RoomLeases:
    """Thread-safe."""

    def __init__(self, database: Database, node_id: str) -> None:
        self._database = database
        self._node = {"node": node_id}

    def lost(self, room_ids: Iterable[str]) -> set[str]:
        """Return the rooms that this node mixes and has no lease of."""
        with self._database.read() as connection:
            return set(room_ids) - set(connection.scalars(HELD, self._node))

    def release_idle(self) -> int:
        """Release the leases of rooms without a live call: those of this node, and of nodes that
        are gone. Returns how many.
        """
        with self._database.write() as connection:
            rooms = connection.scalars(CANDIDATES, self._node).all()
            if not rooms:
                return 0
            return connection.execute(RELEASED, {**self._node, "rooms": rooms}).rowcount
