"""Placement of calls on nodes, inside the transactions that admit them and let their legs in.

All legs of a room are on one node, because it mixes them. Of several nodes one has the room's
lease, and keeps it for as long as it serves. A room without a holder that serves goes to the node
with the fewest calls. A socket can be passed only to nodes of the machine that it was opened to.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from sqlalchemy import ColumnElement, Connection, RowMapping, bindparam, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from service.domain.calls import Call
from service.domain.nodes import NodeState, Place
from service.errors import Busy
from service.storage.advisory_locks import take_turns
from service.storage.calls.queries import count_live
from service.storage.cluster.census import Census, census
from service.storage.tables import alive, calls, room_leases

NOBODY = "No server takes calls at the moment; try again in a moment."

ADMISSION = 7_300_002
"""Advisory lock (Postgres) under which calls are counted and admitted: one for each node."""

LOADS = (
    select(calls.c.node_id, func.count().label("calls")).where(alive()).group_by(calls.c.node_id)
)
LOAD = select(func.count()).select_from(calls).where(calls.c.node_id == bindparam("node"), alive())
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
        calls. Until the transaction ends, no other call is admitted to the same node.
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
        # Also the processes of a hand-over, whose nodes differ, count all calls.
        take_turns(connection, ADMISSION)
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
        chosen = self._chosen(connection, call.room_id, limit=limit)
        return None if chosen is None else self._place(chosen)

    def is_full(self, connection: Connection, limit: int) -> bool:
        loads, everyone = self._loads(connection), census(connection, self._node_id, self._now)
        serving = [row["id"] for row in everyone.rows if self._serves(everyone, row)]
        return all(loads.get(node_id, 0) >= limit for node_id in serving)

    def place_of_next(
        self, connection: Connection, room_id: str | None, near: str | None = None
    ) -> Place:
        chosen = self._chosen(connection, room_id, near)
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
        near: str | None = None,
        limit: int | None = None,
    ) -> RowMapping | None:
        """Return the node that has the room's lease, or is given it; ``None`` if no node serves, or
        each that may take the room has ``limit`` calls.

        Of nodes that do not have the lease, the ones on the machine of ``near`` come first.
        """
        holder = None if room_id is None else connection.scalar(LEASE, {"room": room_id})
        everyone = census(connection, self._node_id, self._now)
        kept = _kept(everyone, holder)
        if kept is not None:
            # A full node's rooms are full too: a room cannot be on two nodes.
            return kept if limit is None or _has_capacity(connection, kept["id"], limit) else None
        for row in self._by_preference(everyone, self._loads(connection), near, limit):
            with connection.begin_nested() as attempt:
                is_new = holder is None
                if room_id is not None and not _give(connection, room_id, row["id"], is_new=is_new):
                    # Another transaction has given it to a node in the meantime.
                    return self._chosen(connection, room_id, near, limit)
                if limit is None or _has_capacity(connection, row["id"], limit):
                    return row
                # Releases the room and the node's lock: a transaction has one node at a time.
                attempt.rollback()
        return None

    def _by_preference(
        self,
        everyone: Census,
        loads: Mapping[str | None, int],
        near: str | None,
        limit: int | None,
    ) -> list[RowMapping]:
        socket_at = {row["url"] for row in everyone.rows if row["id"] == near}
        return sorted(
            (
                row
                for row in everyone.rows
                if self._serves(everyone, row)
                and (limit is None or loads.get(row["id"], 0) < limit)
            ),
            key=lambda row: (
                row["url"] not in socket_at,
                loads.get(row["id"], 0),
                row["id"] != self._node_id,
            ),
        )

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


def _has_capacity(connection: Connection, node_id: str, limit: int) -> bool:
    """Return whether a node has fewer than ``limit`` calls. Nobody else adds one until the end of
    the transaction.
    """
    take_turns(connection, ADMISSION, node_id)
    # A statement of its own, so that it sees what was committed while this one waited.
    return connection.execute(LOAD, {"node": node_id}).scalar_one() < limit


def _give(connection: Connection, room_id: str, node_id: str, *, is_new: bool) -> bool:
    """Give the room's lease to a node. Returns false if a new one was taken in the meantime."""
    if not is_new:
        connection.execute(TAKEN, {"room": room_id, "node": node_id})
        return True
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    row = insert(room_leases).values(room_id=room_id, node_id=node_id, epoch=1)
    added = row.on_conflict_do_nothing(index_elements=[room_leases.c.room_id])
    # SQLAlchemy does not keep the number of rows of an INSERT.
    return connection.execute(added.returning(room_leases.c.epoch)).first() is not None
