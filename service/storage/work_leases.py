"""Leases of work that one node does at a time, by name; and the end of a node's leases."""

from __future__ import annotations

from sqlalchemy import Connection, select

from service.storage import leases
from service.storage.database import Database
from service.storage.tables import nodes, provider_requests, receiver_leases, work_leases

LEASED = (work_leases, provider_requests, receiver_leases)
"""Tables with leases, in the order in which a transaction locks them."""


class WorkLeases:
    """Thread-safe. ``holder`` is the node."""

    def __init__(self, database: Database, holder: str) -> None:
        self._database = database
        self._holder = holder

    def claim(self, name: str) -> bool:
        """Claim the work for ``WORK_LEASE_SECONDS``, or renew the claim. Returns false while
        another node does it.
        """
        with self._database.write() as connection:
            return leases.claim(connection, work_leases, name, self._holder) is not None

    def release(self, name: str) -> None:
        """Let any node claim the work."""
        own = (work_leases.c.name == name) & (work_leases.c.holder == self._holder)
        with self._database.write() as connection:
            leases.end(connection, work_leases, own)


def end_of_gone_nodes(connection: Connection) -> None:
    """End the leases of nodes that are gone. The transaction then locks nothing but deliveries."""
    for table in LEASED:
        leases.end(connection, table, table.c.holder.not_in(select(nodes.c.id)))
