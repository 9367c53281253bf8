"""Admissions at the same moment, on several nodes of one Postgres."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from threading import Event

import pytest
from sqlalchemy import Connection, select, text

from service.domain.calls import Call, EndReason
from service.domain.ids import new_call_id
from service.errors import Busy, Conflict
from service.storage.calls.calls import Calls
from service.storage.calls.rows import insert_call
from service.storage.calls.steering import StoredSteering
from service.storage.cluster.placement import LeasedPlacement, SingleNode
from service.storage.cluster.room_leases import RoomLeases
from service.storage.database import Database
from service.storage.tables import alive, calls, room_leases
from tests.support.clusters import Cluster, a_cluster
from tests.support.nodes import another
from tests.support.races import at_once
from tests.support.records import a_call
from tests.support.servers import PATIENCE

NODES = ("nd_a", "nd_b", "nd_c")
MANY = 1_000


class Admissions:
    """Three nodes that serve, each with connections of its own."""

    def __init__(self, cluster: Cluster, databases: dict[str, Database]) -> None:
        self.cluster = cluster
        self.databases = databases

    def placement(self, node_id: str) -> LeasedPlacement:
        return self.cluster.placement(node_id)

    def calls(self, node_id: str) -> Calls:
        return Calls(self.databases[node_id], self.placement(node_id))

    def admit(self, by: str, room_id: str | None, limit: int = MANY) -> str | None:
        """Have a node admit a call, and return the call's node."""
        call = a_call(room_id=room_id)
        place = self.calls(by).admit(call, call.id, limit)
        return None if place is None else place.node_id

    def begin(self, connection: Connection, by: str, call: Call, limit: int = MANY) -> str | None:
        """Admit a call in a transaction that goes on, and return the call's node."""
        place = self.placement(by).place_of_new(connection, call, limit)
        if place is None:
            return None
        insert_call(connection, replace(call, node_id=place.node_id))
        return place.node_id

    def loads(self) -> Counter[str]:
        with self.cluster.database.read() as connection:
            return Counter(connection.scalars(select(calls.c.node_id).where(alive())))

    def nodes_of_rooms(self) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        query = select(calls.c.room_id, calls.c.node_id).where(calls.c.room_id.is_not(None))
        with self.cluster.database.read() as connection:
            for row in connection.execute(query):
                found.setdefault(row.room_id, set()).add(row.node_id)
        return found

    def leases(self) -> dict[str, str]:
        with self.cluster.database.read() as connection:
            query = select(room_leases.c.room_id, room_leases.c.node_id)
            return {row.room_id: row.node_id for row in connection.execute(query)}

    def wait_for_a_lock(self) -> None:
        """Return once a transaction waits for an advisory lock."""
        query = text(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND "
            "database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        deadline, pause = time.monotonic() + PATIENCE, Event()
        while True:
            with self.cluster.database.read() as connection:
                if connection.scalar(query):
                    return
            assert time.monotonic() < deadline, "no transaction waits"
            pause.wait(0.01)


@pytest.fixture
def admissions(postgres_database: Database) -> Iterator[Admissions]:
    first = postgres_database
    with a_cluster(first) as cluster, another(first) as second, another(first) as third:
        cluster.serving(*NODES)
        yield Admissions(cluster, dict(zip(NODES, (first, second, third), strict=True)))


def patiently(work: Callable[[], str | None]) -> str | None:
    """Repeat an admission that had to wait too long, as the caller does."""
    while True:
        try:
            return work()
        except Busy:
            continue


@pytest.mark.parametrize("rooms", [0, 1, 7, 200])
def test_nodes_are_filled_to_their_limit_and_not_beyond(admissions: Admissions, rooms: int) -> None:
    limit = 7

    def admit(number: int) -> str | None:
        room = f"room-{number % rooms}" if rooms else None
        return patiently(lambda: admissions.admit(NODES[number % 3], room, limit))

    placed = at_once(60, admit)
    assert [each for each in placed if isinstance(each, Exception)] == []
    loads = admissions.loads()
    assert Counter(filter(None, placed)) == loads
    assert max(loads.values()) == limit
    if rooms != 7:
        # Rooms that are on a full node do not go elsewhere.
        assert sum(loads.values()) == limit * (1 if rooms == 1 else len(NODES))
    assert all(len(nodes) == 1 for nodes in admissions.nodes_of_rooms().values())


def test_single_node_is_filled_to_its_limit_and_not_beyond(postgres_database: Database) -> None:
    with another(postgres_database) as second:
        databases = (postgres_database, second)

        def admit(number: int) -> str | None:
            # The two processes of a hand-over.
            node = SingleNode(f"nd_{number % 2}")
            call = a_call(room_id=f"room-{number}")
            place = Calls(databases[number % 2], node).admit(call, call.id, 5)
            return None if place is None else place.node_id

        placed = at_once(40, lambda number: patiently(lambda: admit(number)))
    assert len([each for each in placed if each is not None]) == 5


def test_admission_to_a_node_does_not_wait_for_one_to_another(admissions: Admissions) -> None:
    with admissions.databases["nd_a"].write() as connection:
        assert admissions.begin(connection, "nd_a", a_call(room_id="room-1")) == "nd_a"
        assert at_once(2, lambda number: admissions.admit("nd_b", f"new-{number}")) == ["nd_b"] * 2


def test_new_room_goes_elsewhere_if_its_node_is_full_by_the_time_it_waited(
    admissions: Admissions,
) -> None:
    with ThreadPoolExecutor(1) as pool:
        with admissions.databases["nd_a"].write() as connection:
            assert admissions.begin(connection, "nd_a", a_call(room_id="room-1"), 1) == "nd_a"
            other = pool.submit(admissions.admit, "nd_a", "room-2", 1)
            admissions.wait_for_a_lock()
        assert other.result(PATIENCE) == "nd_b"
    assert admissions.leases() == {"room-1": "nd_a", "room-2": "nd_b"}


@pytest.mark.parametrize("ends", ["rolled back", "cut off"])
def test_admission_that_is_not_committed_takes_no_capacity(
    admissions: Admissions, ends: str
) -> None:
    class Stopped(Exception):
        pass

    with ThreadPoolExecutor(1) as pool:
        with suppress(Stopped, Busy), admissions.databases["nd_a"].write() as connection:
            pid = connection.scalar(text("SELECT pg_backend_pid()"))
            assert admissions.begin(connection, "nd_a", a_call(room_id="room-1"), 1) == "nd_a"
            other = pool.submit(admissions.admit, "nd_a", "room-2", 1)
            admissions.wait_for_a_lock()
            if ends == "cut off":
                with admissions.databases["nd_b"].write() as killer:
                    killer.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})
            else:
                raise Stopped
        assert other.result(PATIENCE) == "nd_a"
    assert admissions.leases() == {"room-2": "nd_a"}
    assert admissions.loads() == {"nd_a": 1}


def test_admissions_never_deadlock(admissions: Admissions) -> None:
    """Rooms are opened, filled, left, released and moved to, while nodes are nearly full."""
    limit, rooms = 6, [f"room-{number}" for number in range(5)]

    def work(number: int) -> None:
        chance, by = random.Random(number), NODES[number % 3]
        own = admissions.calls(by)
        steering = StoredSteering(admissions.databases[by], admissions.placement(by))
        leases = RoomLeases(admissions.databases[by], by)
        for _ in range(12):
            call = a_call(room_id=chance.choice([*rooms, None, new_call_id()]))
            if own.admit(call, call.id, limit) is not None:
                own.reissue(call.id, new_call_id(), 99_000, lambda place: [])
                if call.room_id is not None:
                    own.claim(call.id, "twilio", "leg", 2_000)
                    own.answered(call.id, "leg", f"session-{call.room_id}", 2_000)
                    with suppress(Conflict):
                        steering.move(call.id, chance.choice(rooms), call.participant, 3_000)
                own.end(call.id, EndReason.ENDED_BY_API, 4_000)
            leases.release_idle()

    failed = [each for each in at_once(15, work) if each is not None]
    assert failed == []
    assert admissions.loads() == {}
