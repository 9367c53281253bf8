"""Nodes of machines that a test makes, by a time that it sets."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, bindparam, update

from service.storage.cluster.machine_lease import (
    MACHINES,
    MachineLease,
    RowLease,
    lease_of,
    open_file,
)
from service.storage.cluster.nodes import Nodes
from service.storage.cluster.placement import LeasedPlacement
from service.storage.database import Database
from service.storage.tables import nodes, serving

MACHINE = "machine-1"
SECRET = "secret"


@dataclass
class DatabaseTime:
    """The time of heartbeats, in milliseconds."""

    now: int = 1_000_000

    def __post_init__(self) -> None:
        self.expression: ColumnElement[int] = bindparam(
            "now", callable_=lambda: self.now, type_=BigInteger
        )

    def advance(self, seconds: float) -> None:
        self.now += int(seconds * 1000)


class Cluster:
    """Machines on one database. The nodes of each have the file of SQLite's lease in common."""

    def __init__(self, database: Database, time: DatabaseTime) -> None:
        self.database = database
        self.time = time
        self._files: dict[str, int | None] = {}

    def node(self, node_id: str, machine_id: str = MACHINE, **changes: Any) -> Nodes:
        """Return a node that is not registered yet."""
        lease = self._lease(machine_id, is_shared=changes.get("url") is not None)
        usual = {"now": self.time.expression, "lease": lease}
        secret = changes.pop("secret", SECRET)
        return Nodes(self.database, node_id, secret, machine_id=machine_id, **{**usual, **changes})

    def serving(self, *node_ids: str, urls: Mapping[str, str] | None = None) -> list[Nodes]:
        """Return nodes that have been up for long enough to judge others. ``urls`` has the
        addresses of their machines.
        """
        started = [self.node(node_id, url=(urls or {}).get(node_id)) for node_id in node_ids]
        for node in started:
            assert node.register()
        for _ in range(2):
            self.time.advance(5)
            for node in started:
                assert node.beat()
        return started

    def placement(self, node_id: str, url: str | None = None) -> LeasedPlacement:
        return LeasedPlacement(node_id, self.time.expression, url)

    def kill(self, node_id: str) -> None:
        """Make a node's row name a process that has ended."""
        with self.database.write() as connection:
            own = update(nodes).where(nodes.c.id == node_id)
            connection.execute(own.values(pid_began="ended"))

    def kill_holder(self) -> None:
        """Make the lease name a process that has ended."""
        with self.database.write() as connection:
            connection.execute(update(serving).values(pid_began="ended"))

    def move(self, node_id: str) -> None:
        """Make a node's row, and the lease, name another host."""
        with self.database.write() as connection:
            own = update(nodes).where(nodes.c.id == node_id)
            connection.execute(own.values(host="another"))
            connection.execute(update(serving).values(machine="another"))

    def shared_lease(self) -> MachineLease:
        """Return the lease that machines with a NODE_URL have together."""
        return RowLease(MACHINES, self.time.expression)

    def close(self) -> None:
        for descriptor in self._files.values():
            if descriptor is not None:
                os.close(descriptor)

    def _lease(self, machine_id: str, *, is_shared: bool) -> MachineLease:
        if machine_id not in self._files:
            url = self.database._url.render_as_string(hide_password=False)
            self._files[machine_id] = open_file(url)
        if self.database.file is None:
            return self.shared_lease() if is_shared else RowLease(machine_id, self.time.expression)
        return lease_of(self.database, machine_id, self._files[machine_id])


@contextmanager
def a_cluster(database: Database) -> Iterator[Cluster]:
    cluster = Cluster(database, DatabaseTime())
    try:
        yield cluster
    finally:
        cluster.close()
