"""The node of this process, and the other nodes of the database.

The calls of a node that is gone are taken over by another one.
"""

from __future__ import annotations

import os
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
from service.domain.nodes import RENEW_SECONDS, ListedNode, Node, NodeState
from service.errors import Busy
from service.process import identity
from service.storage.calls import orphans
from service.storage.calls.orphans import Takeover
from service.storage.cluster.census import LEASE_MILLIS, Census, census
from service.storage.cluster.machine_lease import MachineLease, lease_of
from service.storage.cluster.time import time_of
from service.storage.database import Database
from service.storage.tables import nodes
from service.storage.work_leases import end_of_gone_nodes

GAP_MILLIS = LEASE_MILLIS - RENEW_SECONDS * 1000
"""Shortest time without an answer of the database in which other nodes may have lapsed."""

# Built once: building takes longer than executing.
ONE = select(nodes).where(nodes.c.id == bindparam("node"))


class Nodes:
    """Thread-safe. ``now`` is the time of heartbeats."""

    def __init__(
        self,
        database: Database,
        node_id: str,
        api_secret: str,
        *,
        machine_id: str | None = None,
        url: str | None = None,
        version: str = __version__,
        lease: MachineLease | None = None,
        now: ColumnElement[int] | None = None,
    ) -> None:
        """Without ``machine_id``, this node is the only one of its machine. ``url`` is the
        machine's address, with which it serves beside others.
        """
        self.node_id = node_id
        self._database = database
        self._machine_id = machine_id or node_id
        self._url = url
        self._version = version
        self._digest = ids.pseudonym(api_secret, "node")
        self._lease = lease or lease_of(database, self._machine_id, is_shared=url is not None)
        self._asked_at: Millis | None = None
        self._asks_since: Millis = 0
        self._now = time_of(database) if now is None else now
        gap = nodes.c.heartbeat <= self._now - GAP_MILLIS
        self._beat = (
            update(nodes)
            .where(nodes.c.id == bindparam("node"))
            .values(
                heartbeat=self._now, steady_since=case((gap, self._now), else_=nodes.c.steady_since)
            )
        )

    def register(self) -> bool:
        """Take the lease of the database for this machine, and add this node.

        Returns false where the lease is another's. Raises ``Busy`` where nodes serve that this one
        cannot serve beside.
        """
        with self._database.write() as connection:
            if not self._lease.take(connection):
                return False
            everyone = census(connection, self.node_id, self._now)
            may_judge = self._has_asked_for_long(everyone.now)
            for row in everyone.rows:
                is_gone = everyone.has_ended(row) or (may_judge and everyone.has_lapsed(row))
                if self._serves_beside(row) and not is_gone:
                    self._require_compatible(row)
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

    def find(self, node_id: str) -> Node | None:
        """Return a node, if it has a row."""
        with self._database.read() as connection:
            row = connection.execute(ONE, {"node": node_id}).mappings().one_or_none()
        return None if row is None else _node(row)

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
        """Drain, and give the lease of the database away if no other node that has it takes
        calls.
        """
        with self._database.write() as connection:
            # No node registers until it is released.
            held = self._lease.lock(connection)
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
            and self._serves_beside(row)
            and not everyone.is_gone(row)
            for row in everyone.rows
        )

    def _is_gone(self, everyone: Census, row: RowMapping) -> bool:
        # This node has registered, so nodes that it does not serve beside have lost the lease.
        return not self._serves_beside(row) or everyone.is_gone(row)

    def _serves_beside(self, row: RowMapping) -> bool:
        """Whether a node has the lease of the database together with this one."""
        are_shared = self._url is not None and row["url"] is not None
        return are_shared or self._is_of_this_machine(row)

    def _is_of_this_machine(self, row: RowMapping) -> bool:
        return bool(row["machine_id"] == self._machine_id)

    def _has_asked_for_long(self, now: Millis) -> bool:
        """Whether this node has asked to register for ``LEASE_SECONDS`` without a gap.

        A node that has sent no heartbeat in that time is gone: the database was not away.
        """
        if self._asked_at is None or now - self._asked_at >= GAP_MILLIS:
            self._asks_since = now
        self._asked_at = now
        return now - self._asks_since >= LEASE_MILLIS

    def _require_compatible(self, row: RowMapping) -> None:
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
        is_same = self._url is not None and row["url"] == self._url
        if is_same and not self._is_of_this_machine(row):
            raise Busy(
                f"Another machine with the NODE_URL {self._url} serves from this database: this "
                "one waits until that one has ended. Each machine needs its own NODE_URL."
            )

    def _row(self, now: Millis) -> dict[str, Any]:
        pid = os.getpid()
        return {
            "id": self.node_id,
            "machine_id": self._machine_id,
            "url": self._url,
            "host": identity.machine(),
            "pid": pid,
            "pid_began": identity.began(pid),
            "version": self._version,
            "secret_digest": self._digest,
            "state": NodeState.SERVING,
            "started_at": now,
            "heartbeat": now,
            "steady_since": min(now, self._asks_since),
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
        url=row["url"],
    )
