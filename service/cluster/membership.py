"""The membership of a process: as the only node of its database, or as one of a machine's nodes."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field

from service.clock import Clock
from service.cluster.directory import Directory
from service.cluster.keeper import Keeper
from service.media.engine.engine import Engine
from service.process.machine import Machine
from service.settings import Settings
from service.storage.cluster.machine_lease import lease_of
from service.storage.cluster.nodes import Nodes
from service.storage.cluster.placement import LeasedPlacement, Placement, SingleNode
from service.storage.cluster.room_leases import RoomLeases
from service.storage.cluster.time import time_of
from service.storage.database import Database


@dataclass(frozen=True, slots=True)
class Membership:
    """``machine`` and ``leases`` are ``None`` where this process is the only node."""

    node_id: str
    machine: Machine | None
    nodes: Nodes
    placement: Placement
    leases: RoomLeases | None
    directory: Directory
    api_secret: str = field(repr=False)

    @property
    def name(self) -> str | None:
        """The node's name in logs and metrics, which a node that is the only one does not need."""
        return None if self.machine is None else self.node_id

    def serves_elsewhere(self) -> bool:
        """Return whether another node takes calls. Raises ``Busy``."""
        return self.machine is not None and self.nodes.serves_elsewhere()

    def keeper(
        self,
        clock: Clock,
        engine: Engine,
        tell_lost: Callable[[str, tuple[str, ...]], object],
    ) -> Keeper:
        """Make the keeper of this node. Where it loses the database, this process ends."""

        def end() -> None:
            os.kill(os.getpid(), signal.SIGTERM)

        return Keeper(
            clock,
            self.nodes,
            self.leases,
            engine,
            lost=end,
            tell_lost=tell_lost,
            directory=self.directory,
        )


def membership(
    settings: Settings, database: Database, node_id: str, machine: Machine | None
) -> Membership:
    if machine is None:
        nodes = Nodes(database, node_id, settings.api_secret)
        directory, placement = Directory(node_id), SingleNode(node_id)
        return Membership(node_id, None, nodes, placement, None, directory, settings.api_secret)
    is_shared = settings.node_url is not None
    lease = lease_of(database, machine.id, machine.lease_fd, is_shared=is_shared)
    nodes = Nodes(
        database,
        node_id,
        settings.api_secret,
        machine_id=machine.id,
        url=settings.node_url,
        lease=lease,
    )
    return Membership(
        node_id,
        machine,
        nodes,
        LeasedPlacement(node_id, time_of(database), settings.node_url),
        RoomLeases(database, node_id),
        Directory(machine.id, settings.node_url, nodes.find),
        settings.api_secret,
    )
