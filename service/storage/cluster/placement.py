"""Placement of calls on nodes, inside the transactions that admit them and let their legs in.

All legs of a room are on one node, because it mixes them. Of several nodes one has the room's
lease, and keeps it for as long as it serves. A room without a holder that serves goes to the node
with the fewest calls. A socket can be passed only to nodes of the machine that it was opened to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from sqlalchemy import ColumnElement, Connection, RowMapping, bindparam, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from service.domain.calls import Call
from service.domain.nodes import NodeState, Place
from service.errors import Busy
from service.storage.calls.queries import count_live
from service.storage.cluster.census import Census, census
from service.storage.tables import alive, calls, room_leases

NOBODY = "No server takes calls at the moment; try again in a moment."

LOADS = (
    select(calls.c.node_id, func.count().label("calls")).where(alive()).group_by(calls.c.node_id)
)
HOLDER = select(room_leases.c.node_id).where(room_leases.c.room_id == bindparam("room"))
LEASE = HOLDER.with_for_update(key_share=True)
TAKEN = (
    update(room_leases)
    .where(room_leases.c.room_id == bindparam("room"))
    .values(node_id=bindparam("node"), epoch=room_leases.c.epoch + 1)
)


class Placement(Protocol):
    @property
    def node_id(self) -> str | None:
        """The node of this process."""

    @property
    def node_url(self) -> str | None:
        """The address of this machine, if other machines may serve beside it."""

    def place_of_new(self, connection: Connection, call: Call, limit: int) -> Place | None:
        """Return the place of a new call; ``None`` if each node that may take it has ``limit``
        calls.
        """

    def is_full(self, connection: Connection, limit: int) -> bool:
        """Return whether each node that serves has ``limit`` calls."""

    def place_of_next(
        self, connection: Connection, room_id: str | None, near: str | None = None
    ) -> Place:
        """Return the place of the next leg of a call that was admitted. Raises ``Busy`` if no node
        serves.

        The machine of the node ``near`` has the leg's socket, so its nodes come first where the
        room has no node.
        """

    def holder_elsewhere(self, connection: Connection, room_id: str) -> Place | None:
        """Return the place of a room's node if that is on another machine."""


class SingleNode:
    """Placement on the only node of a database."""

    node_url = None

    def __init__(self, node_id: str | None = None) -> None:
        self.node_id = node_id

    def place_of_new(self, connection: Connection, call: Call, limit: int) -> Place | None:
        return None if self.is_full(connection, limit) else Place(self.node_id)

    def is_full(self, connection: Connection, limit: int) -> bool:
        return count_live(connection) >= limit

    def place_of_next(
        self, connection: Connection, room_id: str | None, near: str | None = None
    ) -> Place:
        return Place(self.node_id)

    def holder_elsewhere(self, connection: Connection, room_id: str) -> Place | None:
        return None


UNPLACED = SingleNode()
"""Placement of calls that have no node."""


class LeasedPlacement:
    """Placement on several nodes, by leases of rooms."""

    def __init__(self, node_id: str, now: ColumnElement[int], node_url: str | None = None) -> None:
        self._node_id = node_id
        self._now = now
        self._node_url = node_url

    @property
    def node_id(self) -> str:
        return self._node_id

    @property
    def node_url(self) -> str | None:
        return self._node_url

    def place_of_new(self, connection: Connection, call: Call, limit: int) -> Place | None:
        loads = self._loads(connection)
        chosen = self._chosen(
            connection, call.room_id, loads, lambda node: loads.get(node["id"], 0) < limit
        )
        # A full node's rooms are full too: a room cannot be on two nodes.
        if chosen is None or loads.get(chosen["id"], 0) >= limit:
            return None
        return self._place(chosen)

    def is_full(self, connection: Connection, limit: int) -> bool:
        loads, everyone = self._loads(connection), census(connection, self._node_id, self._now)
        serving = [row["id"] for row in everyone.rows if self._serves(everyone, row)]
        return all(loads.get(node_id, 0) >= limit for node_id in serving)

    def place_of_next(
        self, connection: Connection, room_id: str | None, near: str | None = None
    ) -> Place:
        chosen = self._chosen(connection, room_id, self._loads(connection), lambda node: True, near)
        if chosen is None:
            raise Busy(NOBODY)
        return self._place(chosen)

    def holder_elsewhere(self, connection: Connection, room_id: str) -> Place | None:
        holder = connection.scalar(HOLDER, {"room": room_id})
        kept = _kept(census(connection, self._node_id, self._now), holder)
        return None if kept is None or self._is_here(kept) else self._place(kept)

    def _place(self, row: RowMapping) -> Place:
        return Place(row["id"], row["url"], self._is_here(row))

    def _is_here(self, row: RowMapping) -> bool:
        return bool(row["url"] == self._node_url)

    def _loads(self, connection: Connection) -> Mapping[str | None, int]:
        return {row.node_id: row.calls for row in connection.execute(LOADS)}

    def _chosen(
        self,
        connection: Connection,
        room_id: str | None,
        loads: Mapping[str | None, int],
        may_take: Callable[[RowMapping], bool],
        near: str | None = None,
    ) -> RowMapping | None:
        """Return the node that has the room's lease, or is given it; ``None`` if no node may.

        ``may_take`` is asked about nodes that do not have the lease. Of these, the ones on the
        machine of ``near`` come first.
        """
        holder = None if room_id is None else connection.scalar(LEASE, {"room": room_id})
        everyone = census(connection, self._node_id, self._now)
        kept = _kept(everyone, holder)
        if kept is not None:
            return kept
        free = [row for row in everyone.rows if self._serves(everyone, row) and may_take(row)]
        if not free:
            return None
        socket_at = {row["url"] for row in everyone.rows if row["id"] == near}
        best = min(
            free,
            key=lambda row: (
                row["url"] not in socket_at,
                loads.get(row["id"], 0),
                row["id"] != self._node_id,
            ),
        )
        if room_id is not None and not _give(connection, room_id, best["id"], is_new=not holder):
            # Another transaction has given it to a node in the meantime.
            return self._chosen(connection, room_id, loads, may_take, near)
        return best

    def _serves(self, everyone: Census, row: RowMapping) -> bool:
        if row["state"] != NodeState.SERVING or everyone.is_gone(row):
            return False
        # This node serves without a heartbeat too, for instance right after an outage.
        return row["id"] == self._node_id or not everyone.has_lapsed(row)


def _kept(everyone: Census, holder: str | None) -> RowMapping | None:
    """Return the holder of a lease if it keeps it. It does while nobody knows that it is gone."""
    row = next((row for row in everyone.rows if row["id"] == holder), None)
    if row is None or row["state"] != NodeState.SERVING or everyone.is_gone(row):
        return None
    return row


def _give(connection: Connection, room_id: str, node_id: str, *, is_new: bool) -> bool:
    """Give the room's lease to a node. Returns false if a new one was taken in the meantime."""
    if not is_new:
        connection.execute(TAKEN, {"room": room_id, "node": node_id})
        return True
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    row = insert(room_leases).values(room_id=room_id, node_id=node_id, epoch=1)
    added = connection.execute(row.on_conflict_do_nothing(index_elements=[room_leases.c.room_id]))
    return added.rowcount > 0
