"""Placement of calls on nodes, inside the transactions that admit them and let their legs in.

All legs of a room are on one node, because it mixes them. Of several nodes one has the room's
lease, and keeps it for as long as it serves. A room without a holder that serves goes to the node
with the fewest calls.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Protocol

from sqlalchemy import ColumnElement, Connection, RowMapping, bindparam, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from service.domain.calls import Call
from service.domain.nodes import NodeState
from service.errors import Busy
from service.storage.calls.queries import count_live
from service.storage.cluster.census import Census, census
from service.storage.tables import alive, calls, room_leases

NOBODY = "No server takes calls at the moment; try again in a moment."

LOADS = (
    select(calls.c.node_id, func.count().label("calls")).where(alive()).group_by(calls.c.node_id)
)
LEASE = (
    select(room_leases.c.node_id)
    .where(room_leases.c.room_id == bindparam("room"))
    .with_for_update(key_share=True)
)
TAKEN = (
    update(room_leases)
    .where(room_leases.c.room_id == bindparam("room"))
    .values(node_id=bindparam("node"), epoch=room_leases.c.epoch + 1)
)


class Placement(Protocol):
    @property
    def node_id(self) -> str | None:
        """The node of this process."""

    def admitted(self, connection: Connection, call: Call, limit: int) -> Call | None:
        """Return a new call with its node; ``None`` if each node that may take it has ``limit``
        calls.
        """

    def is_full(self, connection: Connection, limit: int) -> bool:
        """Return whether each node that serves has ``limit`` calls."""

    def node_for(self, connection: Connection, room_id: str | None) -> str | None:
        """Return the node of the next leg of a call that was admitted. Raises ``Busy`` if no node
        serves.
        """


class SingleNode:
    """Placement on the only node of a database."""

    def __init__(self, node_id: str | None = None) -> None:
        self.node_id = node_id

    def admitted(self, connection: Connection, call: Call, limit: int) -> Call | None:
        if self.is_full(connection, limit):
            return None
        return replace(call, node_id=self.node_id)

    def is_full(self, connection: Connection, limit: int) -> bool:
        return count_live(connection) >= limit

    def node_for(self, connection: Connection, room_id: str | None) -> str | None:
        return self.node_id


UNPLACED = SingleNode()
"""Placement of calls that have no node."""


class LeasedPlacement:
    """Placement on several nodes, by leases of rooms."""

    def __init__(self, node_id: str, now: ColumnElement[int]) -> None:
        self._node_id = node_id
        self._now = now

    @property
    def node_id(self) -> str:
        return self._node_id

    def admitted(self, connection: Connection, call: Call, limit: int) -> Call | None:
        loads = self._loads(connection)
        chosen = self._chosen(
            connection, call.room_id, loads, lambda node: loads.get(node["id"], 0) < limit
        )
        # A full node's rooms are full too: a room cannot be on two nodes.
        if chosen is None or loads.get(chosen, 0) >= limit:
            return None
        return replace(call, node_id=chosen)

    def is_full(self, connection: Connection, limit: int) -> bool:
        loads, everyone = self._loads(connection), census(connection, self._node_id, self._now)
        serving = [row["id"] for row in everyone.rows if self._serves(everyone, row)]
        return all(loads.get(node_id, 0) >= limit for node_id in serving)

    def node_for(self, connection: Connection, room_id: str | None) -> str:
        chosen = self._chosen(connection, room_id, self._loads(connection), lambda node: True)
        if chosen is None:
            raise Busy(NOBODY)
        return chosen

    def _loads(self, connection: Connection) -> Mapping[str | None, int]:
        return {row.node_id: row.calls for row in connection.execute(LOADS)}

    def _chosen(
        self,
        connection: Connection,
        room_id: str | None,
        loads: Mapping[str | None, int],
        may_take: Callable[[RowMapping], bool],
    ) -> str | None:
        """Return the node that has the room's lease, or is given it; ``None`` if no node may.

        ``may_take`` is asked about nodes that do not have the lease.
        """
        holder = None if room_id is None else _holder(connection, room_id)
        everyone = census(connection, self._node_id, self._now)
        if holder is not None and _keeps(everyone, holder):
            return holder
        free = [row for row in everyone.rows if self._serves(everyone, row) and may_take(row)]
        if not free:
            return None
        best = min(free, key=lambda row: (loads.get(row["id"], 0), row["id"] != self._node_id))
        chosen: str = best["id"]
        if room_id is not None and not _give(connection, room_id, chosen, is_new=holder is None):
            # Another transaction has given it to a node in the meantime.
            return self._chosen(connection, room_id, loads, may_take)
        return chosen

    def _serves(self, everyone: Census, row: RowMapping) -> bool:
        if row["state"] != NodeState.SERVING or everyone.is_gone(row):
            return False
        # This node serves without a heartbeat too, for instance right after an outage.
        return row["id"] == self._node_id or not everyone.has_lapsed(row)


def _holder(connection: Connection, room_id: str) -> str | None:
    """Return the node that has the room's lease, and lock the lease."""
    found: str | None = connection.scalar(LEASE, {"room": room_id})
    return found


def _keeps(everyone: Census, holder: str) -> bool:
    """Whether a holder keeps its lease. It does while nobody knows that it is gone."""
    row = next((row for row in everyone.rows if row["id"] == holder), None)
    return row is not None and row["state"] == NodeState.SERVING and not everyone.is_gone(row)


def _give(connection: Connection, room_id: str, node_id: str, *, is_new: bool) -> bool:
    """Give the room's lease to a node. Returns false if a new one was taken in the meantime."""
    if not is_new:
        connection.execute(TAKEN, {"room": room_id, "node": node_id})
        return True
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    row = insert(room_leases).values(room_id=room_id, node_id=node_id, epoch=1)
    added = connection.execute(row.on_conflict_do_nothing(index_elements=[room_leases.c.room_id]))
    return added.rowcount > 0
