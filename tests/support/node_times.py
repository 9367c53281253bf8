"""Nodes of a test: their database's time is set by the test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, bindparam

from service.storage.cluster.nodes import Nodes
from service.storage.database import Database

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


def a_node(database: Database, node_id: str, time: DatabaseTime, **changes: Any) -> Nodes:
    """Return a node of the usual machine."""
    usual = {"machine_id": MACHINE, "now": time.expression}
    return Nodes(database, node_id, changes.pop("secret", SECRET), **{**usual, **changes})
