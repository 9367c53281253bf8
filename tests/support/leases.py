"""Leases whose time is over, or whose nodes are gone, without a wait for the database's clock."""

from __future__ import annotations

from sqlalchemy import insert, update

from service.storage.database import Database
from service.storage.tables import nodes, provider_requests, receiver_leases, work_leases
from service.storage.work_leases import end_of_gone_nodes

LONG_AGO = 1


def lapse(database: Database) -> None:
    """Let all leases lapse, as if their holders had stalled."""
    with database.write() as connection:
        for table in (work_leases, receiver_leases, provider_requests):
            connection.execute(update(table).values(expires_at=LONG_AGO))


def add_node(database: Database, node_id: str) -> None:
    """Add a node that is not gone."""
    values = {"machine_id": "m", "pid": 1, "version": "1", "secret_digest": "d", "state": "serving"}
    times = {"started_at": 1, "heartbeat": 1, "steady_since": 1}
    with database.write() as connection:
        connection.execute(insert(nodes).values(id=node_id, **values, **times))


def end_of_gone(database: Database) -> None:
    """End the leases of all nodes that are not in the database."""
    with database.write() as connection:
        end_of_gone_nodes(connection)
