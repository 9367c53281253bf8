"""Keepers of nodes that have no calls."""

from __future__ import annotations

from collections.abc import Callable

from service.cluster.keeper import Keeper
from service.domain import ids
from service.storage.cluster.nodes import Nodes
from service.storage.database import Database
from tests.support.apps import ScriptedEngine
from tests.support.clocks import FakeClock


def a_keeper(
    database: Database, clock: FakeClock, lost: Callable[[], None] = lambda: None
) -> Keeper:
    """Return the keeper of the only node of another machine."""
    nodes = Nodes(database, ids.new_node_id(), "secret")
    return Keeper(clock, nodes, None, ScriptedEngine(clock), lost)
