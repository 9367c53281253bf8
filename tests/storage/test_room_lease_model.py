"""A model of three nodes that share rooms while they stall, lose heartbeats, drain and are killed.

A node believes that it has a room from the first socket that it is passed until its keeper sees
that another node has the room's lease, or until it is told that its calls were taken over.

The nodes are workers of one machine, which see each other end, or each has a machine of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import select

from service.domain.nodes import LEASE_SECONDS
from service.errors import Busy
from service.process import identity
from service.storage.cluster.nodes import Nodes
from service.storage.cluster.room_leases import RoomLeases
from service.storage.database import Database
from service.storage.tables import metadata, nodes, room_leases
from tests.support.clusters import Cluster, DatabaseTime
from tests.support.fuzzing import fuzz
from tests.support.migrated import migrated_file

IDS = ("nd_a", "nd_b", "nd_c")
ROOMS = ("room-1", "room-2")

node_ids = st.sampled_from(IDS)
rooms = st.sampled_from(ROOMS)


@contextmanager
def a_database() -> Iterator[Database]:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.db"
        path.write_bytes(migrated_file())
        database = Database(f"sqlite:///{path}")
        try:
            yield database
        finally:
            database.close()


class SharedRooms(RuleBasedStateMachine):
    database: Database
    are_apart = False
    """Whether each node has a machine of its own, on a host of its own."""

    @initialize()
    def start(self) -> None:
        with self.database.write() as connection:
            for table in reversed(metadata.sorted_tables):
                connection.execute(table.delete())
        self.cluster = Cluster(self.database, DatabaseTime())
        self.nodes: dict[str, Nodes] = {}
        for node in self.apart() if self.are_apart else self.cluster.serving(*IDS):
            self.nodes[node.node_id] = node
        self.stalled: set[str] = set()
        # Nodes that run and have no connection to the database.
        self.cut: set[str] = set()
        self.killed: set[str] = set()
        self.draining: set[str] = set()
        self.believed: dict[str, set[str]] = {node_id: set() for node_id in IDS}
        # The nodes whose keepers have looked since a room has changed hands.
        self.looked: dict[str, set[str]] = {room_id: set(IDS) for room_id in ROOMS}
        self.beats = dict.fromkeys(IDS, self.cluster.time.now)

    def apart(self) -> list[Nodes]:
        """Return nodes of several machines, up for long enough to judge others."""
        started = [
            self.cluster.node(
                node_id,
                f"machine of {node_id}",
                url=f"https://{node_id}.example.com",
                lease=self.cluster.shared_lease(),
            )
            for node_id in IDS
        ]
        for node in started:
            self.register(node)
        for _ in range(2):
            self.cluster.time.advance(5)
            assert all(node.beat() for node in started)
        return started

    def register(self, node: Nodes) -> None:
        assert node.register()
        if self.are_apart:
            self.cluster.move(node.node_id)

    def teardown(self) -> None:
        if hasattr(self, "cluster"):
            self.cluster.close()

    def runs(self, node_id: str) -> bool:
        return node_id not in self.stalled | self.killed | self.cut

    def keeps_its_rooms(self, node_id: str) -> bool:
        """Whether a node serves and has sent a heartbeat in time."""
        is_fresh = self.cluster.time.now - self.beats[node_id] < LEASE_SECONDS * 1000
        return is_fresh and node_id not in self.killed | self.draining

    def keep(self, node_id: str) -> None:
        """Do what the keeper of a node does every three seconds."""
        node = self.nodes[node_id]
        if not node.beat():
            self.register(node)
            if node_id in self.draining:
                node.drain()
        self.beats[node_id] = self.cluster.time.now
        if node.sees_gone():
            before = self.registered()
            node.take_over(1)
            for gone in before - self.registered() - self.stalled:
                self.believed[gone].clear()
                for looked in self.looked.values():
                    looked.add(gone)
        self.believed[node_id] -= RoomLeases(self.database, node_id).lost(self.believed[node_id])
        for looked in self.looked.values():
            looked.add(node_id)

    def enter(self, node_id: str, room_id: str) -> str | None:
        """Have a node answer a caller; return the node that gets the socket, if one does."""
        url = f"https://{node_id}.example.com" if self.are_apart else None
        placement = self.cluster.placement(node_id, url)
        before = self.holder(room_id)
        try:
            with self.database.write() as connection:
                owner = placement.place_of_next(connection, room_id).node_id
        except Busy:
            return None
        if owner in self.killed:
            # It does not answer when it is asked, so its callers hold until it is judged.
            assert self.are_apart
            return None
        if before is not None and self.keeps_its_rooms(before):
            assert owner == before
        if owner != before:
            self.looked[room_id] = {owner}
        self.believed[owner].add(room_id)
        return owner

    def holder(self, room_id: str) -> str | None:
        lease = select(room_leases.c.node_id).where(room_leases.c.room_id == room_id)
        with self.database.read() as connection:
            found: str | None = connection.scalar(lease)
            return found

    def registered(self) -> set[str]:
        with self.database.read() as connection:
            return set(connection.scalars(select(nodes.c.id)))

    def serving(self) -> set[str]:
        return {each for each in IDS if self.runs(each) and each not in self.draining}

    @rule(seconds=st.sampled_from([1, 3, 9.9, 10]), silent=st.sampled_from((None, *IDS)))
    def time_passes(self, seconds: float, silent: str | None) -> None:
        """The heartbeat of one node may be lost."""
        self.cluster.time.advance(seconds)
        for node_id in IDS:
            if node_id != silent and self.runs(node_id):
                self.keep(node_id)

    @rule(data=st.data())
    def callers_come(self, data: st.DataObject) -> None:
        running = [each for each in IDS if self.runs(each)]
        if running:
            node_id = data.draw(st.sampled_from(running))
            for room_id in ROOMS:
                self.enter(node_id, room_id)

    @rule(node_id=node_ids)
    def stall_or_wake(self, node_id: str) -> None:
        """A keeper that has slept beats at once."""
        if node_id in self.stalled:
            self.stalled.discard(node_id)
            if self.runs(node_id):
                self.keep(node_id)
        else:
            self.stalled.add(node_id)

    @rule(node_id=node_ids)
    def cut_off_or_mend(self, node_id: str) -> None:
        """Only the database is away from a node that is cut off: others can tell it things."""
        if node_id in self.cut:
            self.cut.discard(node_id)
            if self.runs(node_id):
                self.keep(node_id)
        else:
            self.cut.add(node_id)

    @precondition(lambda self: not self.draining)
    @rule(room_id=rooms)
    def holder_begins_to_drain(self, room_id: str) -> None:
        node_id = self.holder(room_id)
        if node_id is not None and self.runs(node_id):
            self.draining.add(node_id)
            self.nodes[node_id].drain()

    @precondition(lambda self: not self.killed)
    @rule(room_id=rooms)
    def holder_is_killed(self, room_id: str) -> None:
        node_id = self.holder(room_id)
        if node_id is not None:
            self.killed.add(node_id)
            self.believed[node_id].clear()
            if not self.are_apart:
                self.cluster.kill(node_id)

    @rule(node_id=node_ids)
    def rooms_become_empty(self, node_id: str) -> None:
        if self.runs(node_id):
            for believed in self.believed.values():
                believed.clear()
            RoomLeases(self.database, node_id).release_idle()

    @rule(room_id=rooms)
    def the_database_is_away_for_a_minute(self, room_id: str) -> None:
        """The first node that is back takes no room from nodes that are back a moment later."""
        running = [each for each in IDS if self.runs(each)]
        before = self.holder(room_id)
        stays = before in self.serving() and before in self.registered()
        self.cluster.time.advance(60)
        for node_id in running:
            owner = self.enter(node_id, room_id)
            assert owner == before or not stays
            self.keep(node_id)

    @rule(room_id=rooms)
    def a_room_can_be_entered_once_heartbeats_are_back(self, room_id: str) -> None:
        running = [each for each in IDS if self.runs(each)]
        for _ in range(8):
            self.cluster.time.advance(3)
            for node_id in running:
                self.keep(node_id)
        for node_id in running:
            owner = self.enter(node_id, room_id)
            assert owner in self.serving() or (owner is None and not self.serving())

    @invariant()
    def one_node_has_a_room_once_all_have_looked(self) -> None:
        for room_id, looked in self.looked.items() if hasattr(self, "looked") else ():
            assert sum(room_id in self.believed[node_id] for node_id in looked) <= 1


@pytest.mark.hypothesis
@pytest.mark.skipif(identity.machine() is None, reason="only Linux tells which processes run")
@pytest.mark.parametrize("are_apart", [False, True], ids=["one machine", "three machines"])
def test_rooms_have_one_node_whatever_happens_to_the_nodes(are_apart: bool) -> None:
    with a_database() as database:
        run_state_machine_as_test(
            type("Model", (SharedRooms,), {"database": database, "are_apart": are_apart}),
            settings=settings(
                fuzz(12), stateful_step_count=25, suppress_health_check=list(HealthCheck)
            ),
        )
