"""Nodes: the processes that serve from one database, each with a media engine of its own."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from service.clock import Millis

LEASE_SECONDS = 10
"""Seconds without a heartbeat after which a node counts as gone."""

RENEW_SECONDS = 3
"""Interval of heartbeats."""


class NodeState(StrEnum):
    SERVING = "serving"
    DRAINING = "draining"
    """The node hands its calls over and gets no more."""


@dataclass(frozen=True, slots=True)
class Node:
    """One process. Its ``id`` is new with each start, so that late news of an earlier process
    belongs to no other node.

    ``machine_id`` is the id of all workers of one gunicorn, and ``url`` their address, which a
    machine has that may serve beside others. ``started_at`` and ``heartbeat`` are
    times of the database, and not of the node's own clock.
    """

    id: str
    machine_id: str
    pid: int
    version: str
    state: NodeState = NodeState.SERVING
    started_at: Millis = 0
    heartbeat: Millis = 0
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """The node of a call, and the address of its machine, if it has one.

    ``is_here`` where a socket that was opened to this machine can be passed to the node.
    """

    node_id: str | None
    node_url: str | None = None
    is_here: bool = True


@dataclass(frozen=True, slots=True)
class ListedNode:
    """A row of the nodes, which a node that is gone has until another one takes over its calls.

    The node has been ``up`` and ``silent`` for this long, by the database's clock.
    """

    node: Node
    up: Millis
    silent: Millis

    @property
    def has_lapsed(self) -> bool:
        return self.silent >= LEASE_SECONDS * 1000
