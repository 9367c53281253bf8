"""Takeovers of the calls that no node has."""

from __future__ import annotations

from service.clock import Millis
from service.storage.calls import orphans
from service.storage.calls.calls import Calls
from service.storage.calls.orphans import Takeover
from service.storage.cluster.nodes import Nodes
from service.storage.database import Database


def orphaned(calls: Calls, at: Millis) -> int:
    """Detach the answered calls that no node has, as at the start of a process, and return how many
    were attached.
    """
    return Nodes(calls._database, "nd_test", "secret").take_over(at, has_started=True).attached


def lost(database: Database, node_id: str | None, at: Millis) -> Takeover:
    """Take over the calls of a node that fell silent."""
    assert node_id is not None
    with database.write() as connection:
        return orphans.take_over(connection, at, silent=[node_id])
