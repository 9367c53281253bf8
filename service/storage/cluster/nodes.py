"""The node of this process, and the other nodes of the database.

A node is gone once its process has ended, once it has sent no heartbeat for ``LEASE_SECONDS``, or
once another machine has the lease of the database. Its calls are then taken over by another node.
After an outage of the database all heartbeats are old, so a node judges others by their heartbeats
only after it has sent its own for as long without a gap.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    bindparam,
    case,
    delete,
    insert,
    select,
    update,
)

from service import __version__
from service.clock import Millis
from service.domain import ids
from service.domain.nodes import LEASE_SECONDS, ListedNode, Node, NodeState
from service.errors import Busy
from service.process import identity
from service.storage.calls import orphans
from service.storage.calls.orphans import Takeover
from service.storage.cluster.machine_lease import MachineLease, lease_of
from service.storage.cluster.time import time_of
from service.storage.database import Database
from service.storage.tables import nodes
from service.storage.work_leases import end_of_gone_nodes

LEASE_MILLIS = LEASE_SECONDS * 1000

# Built once: building takes longer than executing.
EVERYONE = select(nodes).order_by(nodes.c.id)
EVERYONE_LOCKED = EVERYONE.with_for_update()


@dataclass(frozen=True, slots=True)
class Census:
    """All nodes at one moment, as a node of ``machine_id`` judges them."""

    rows: Sequence[RowMapping]
    own_id: str
    now: Millis

    @property
    def own(self) -> RowMapping | None:
        return next((row for row in self.rows if row["id"] == self.own_id), None)

    def is_gone(self, row: RowMapping) -> bool:
        """Whether a node is known to be gone."""
        if row["id"] == self.own_id:
            return False
        return self.has_ended(row) or (self.has_lapsed(row) and self._may_judge)

    def has_ended(self, row: RowMapping) -> bool:
        """Whether the node's process was seen to end, so that its sockets are closed."""
        return identity.is_gone(row["host"], row["pid"], row["pid_began"])

    def has_lapsed(self, row: RowMapping) -> bool:
        return bool(row["heartbeat"] <= self.now - LEASE_MILLIS)

    @property
    def _may_judge(self) -> bool:
        own = self.own
        return (
            own is not None
            and not self.has_lapsed(own)
            and own["steady_since"] <= self.now - LEASE_MILLIS
        )


def census(
    connection: Connection, own_id: str, now: ColumnElement[int], *, locked: bool = False
) -> Census:
    """Read all nodes. With ``locked``, none of them beats until the transaction ends."""
    rows = connection.execute(EVERYONE_LOCKED if locked else EVERYONE).mappings().all()
    # After the rows, so that no heartbeat is later than this.
    return Census(rows, own_id, connection.execute(select(now)).scalar_one())


class Nodes:
    """Thread-safe. ``now`` is the time of heartbeats."""

    def __init__(
        self,
        database: Database,
        node_id: str,
        api_secret: str,
        *,
        machine_id: str | None = None,
        version: str = __version__,
        lease: MachineLease | None = None,
        now: ColumnElement[int] | None = None,
    ) -> None:
        """Without ``machine_id``, this node is the only one of its machine."""
        self.node_id = node_id
        self._database = database
        self._machine_id = machine_id or node_id
        self._version = version
        self._digest = ids.pseudonym(api_secret, "node")
        self._lease = lease or lease_of(database, self._machine_id)
        self._now = time_of(database) if now is None else now
        gap = nodes.c.heartbeat <= self._now - LEASE_MILLIS
        self._beat = (
            update(nodes)
            .where(nodes.c.id == bindparam("node"))
            .values(
                heartbeat=self._now, steady_since=case((gap, self._now), else_=nodes.c.steady_since)
            )
        )

    def register(self) -> bool:
        """Take the lease of the database for this machine, and add this node.

        Returns false where another machine has the lease. Raises ``Busy`` where nodes of this
        machine serve that this one cannot serve beside.
        """
        with self._database.write() as connection:
            if not self._lease.take(connection):
                return False
            everyone = census(connection, self.node_id, self._now)
            for row in everyone.rows:
                if self._is_of_this_machine(row) and not everyone.is_gone(row):
                    self._require_alike(row)
            connection.execute(delete(nodes).where(nodes.c.id == self.node_id))
            connection.execute(insert(nodes).values(self._row(everyone.now)))
            return True

    def beat(self, *, renews: bool = True) -> bool:
        """Send a heartbeat. Returns false if this node is gone for the others.

        ``renews`` also renews the machine's lease; then false can mean that it is another's.
        """
        with self._database.write() as connection:
            if renews and not self._lease.renew(connection):
                return False
            return connection.execute(self._beat, {"node": self.node_id}).rowcount > 0

    def take_over(self, at: Millis, *, has_started: bool = False) -> Takeover:
        """Remove the nodes that are gone, end their leases of shared work, and detach their calls.

        A process that ``has_started`` also looks for calls of no node: of an earlier version, or of
        a process that was killed while it ended.
        """
        with self._database.write() as connection:
            everyone = census(connection, self.node_id, self._now, locked=True)
            gone = [row for row in everyone.rows if self._is_gone(everyone, row)]
            if not gone and not has_started:
                return Takeover()
            ids_gone = [row["id"] for row in gone]
            connection.execute(delete(nodes).where(nodes.c.id.in_(ids_gone)))
            # Another worker can have placed calls on this node already.
            is_alone = self._machine_id == self.node_id
            own_id = self.node_id if has_started and is_alone else None
            silent = [] if is_alone else [row["id"] for row in gone if not everyone.has_ended(row)]
            taken = orphans.take_over(connection, at, own_id, silent)
            end_of_gone_nodes(connection)
            return taken

    def sees_gone(self) -> bool:
        """Return whether there is anything to take over."""
        everyone = self._census()
        return any(self._is_gone(everyone, row) for row in everyone.rows)

    def listed(self) -> list[ListedNode]:
        """Return all nodes, including lapsed ones, by machine and in the order of their starts."""
        everyone = self._census()
        found = [
            ListedNode(
                _node(row), everyone.now - row["started_at"], everyone.now - row["heartbeat"]
            )
            for row in everyone.rows
        ]
        return sorted(found, key=lambda each: (each.node.machine_id, -each.up, each.node.id))

    def fresh(self) -> list[Node]:
        """Return the nodes that are up, in the order of their starts."""
        everyone = self._census()
        up = [
            row
            for row in everyone.rows
            if not self._is_gone(everyone, row) and not everyone.has_lapsed(row)
        ]
        return [_node(row) for row in sorted(up, key=lambda row: (row["started_at"], row["id"]))]

    def serves_elsewhere(self) -> bool:
        """Return whether another node takes calls."""
        return any(
            node.state is NodeState.SERVING and node.id != self.node_id for node in self.fresh()
        )

    def drain(self) -> None:
        """Have no more calls placed on this node."""
        with self._database.write() as connection:
            self._drain(connection)

    def release(self) -> None:
        """Drain, and give the lease of the database to the next machine if no other node of this
        one takes calls.
        """
        with self._database.write() as connection:
            # Locks the lease, so that no node registers until it is released.
            held = self._lease.renew(connection)
            self._drain(connection)
            if held and not self._others_serve(connection):
                self._lease.release(connection)

    def leave(self, at: Millis) -> None:
        """Remove this node, and leave the calls that it still has to the others."""
        with self._database.write() as connection:
            connection.execute(delete(nodes).where(nodes.c.id == self.node_id))
            orphans.take_over(connection, at)
            end_of_gone_nodes(connection)

    def _census(self) -> Census:
        with self._database.read() as connection:
            return census(connection, self.node_id, self._now)

    def _drain(self, connection: Connection) -> None:
        own = update(nodes).where(nodes.c.id == self.node_id)
        connection.execute(own.values(state=NodeState.DRAINING))

    def _others_serve(self, connection: Connection) -> bool:
        everyone = census(connection, self.node_id, self._now)
        return any(
            row["state"] == NodeState.SERVING
            and row["id"] != self.node_id
            and self._is_of_this_machine(row)
            and not everyone.is_gone(row)
            for row in everyone.rows
        )

    def _is_gone(self, everyone: Census, row: RowMapping) -> bool:
        # This node has registered, so this machine has the lease.
        return not self._is_of_this_machine(row) or everyone.is_gone(row)

    def _is_of_this_machine(self, row: RowMapping) -> bool:
        return bool(row["machine_id"] == self._machine_id)

    def _require_alike(self, row: RowMapping) -> None:
        if row["id"] == self.node_id or row["state"] != NodeState.SERVING:
            return
        if row["version"] != self._version:
            raise Busy(
                f"A node of version {row['version']} serves from this database, and this one is of "
                f"version {self._version}: it waits until that one has ended."
            )
        if row["secret_digest"] != self._digest:
            raise Busy(
                "A node with another API_SECRET serves from this database: this one waits until "
                "that one has ended. All nodes need the same API_SECRET."
            )

    def _row(self, now: Millis) -> dict[str, Any]:
        pid = os.getpid()
        return {
            "id": self.node_id,
            "machine_id": self._machine_id,
            "host": identity.machine(),
            "pid": pid,
            "pid_began": identity.began(pid),
            "version": self._version,
            "secret_digest": self._digest,
            "state": NodeState.SERVING,
            "started_at": now,
            "heartbeat": now,
            "steady_since": now,
        }


def _node(row: RowMapping) -> Node:
    return Node(
        id=row["id"],
        machine_id=row["machine_id"],
        pid=row["pid"],
        version=row["version"],
        state=NodeState(row["state"]),
        started_at=row["started_at"],
        heartbeat=row["heartbeat"],
    )
