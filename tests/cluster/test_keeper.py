"""The keeper: a node has the database until it is released, or another machine has taken it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from queue import SimpleQueue
from typing import Any

import pytest
from sqlalchemy import delete, select, update

from service.cluster.keeper import Keeper
from service.domain.calls import Call
from service.domain.ids import new_call_id
from service.media.rooms.leg import LegSpec
from service.process import identity
from service.providers.custom import WebSocketWire
from service.storage.calls.calls import Calls
from service.storage.cluster.room_leases import RoomLeases
from service.storage.database import Database
from service.storage.tables import nodes, serving
from tests.support.apps import ScriptedEngine
from tests.support.clocks import FakeClock
from tests.support.clusters import Cluster, a_cluster
from tests.support.keepers import a_keeper
from tests.support.records import a_call

ROOM = "abcd-efgh-ijkl"


class SocketEngine(ScriptedEngine):
    """An engine that has the sockets that a test gives it, and notes which it is told to close."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.sockets: list[LegSpec] = []
        self.told = threading.Event()

    def legs(self, seconds: float = 1.0) -> tuple[LegSpec, ...]:
        return tuple(self.sockets)

    def hand_back(self, call_id: str, text: str, moved_to: str | None = None) -> None:
        super().hand_back(call_id, text, moved_to)
        self.told.set()


@pytest.fixture
def cluster(database: Database) -> Iterator[Cluster]:
    with a_cluster(database) as cluster:
        yield cluster


def streaming(cluster: Cluster, engine: SocketEngine, node_id: str) -> Call:
    """Return a call in the usual room with its socket on a node."""
    calls = Calls(cluster.database, cluster.placement(node_id))
    call, ref = a_call(room_id=ROOM), new_call_id()
    assert calls.admit(call, ref, 100)
    claimed = calls.claim(ref, "twilio", f"leg-{call.id}", 2_000)
    assert claimed.node_id == node_id
    assert calls.answered(call.id, f"leg-{call.id}", "s1", 2_100)
    leg = LegSpec(f"leg-{call.id}", call.id, ROOM, call.participant, WebSocketWire())
    engine.sockets.append(leg)
    return call


def keeping(
    cluster: Cluster, clock: FakeClock, engine: SocketEngine, node_id: str, **changes: Any
) -> Keeper:
    leases = RoomLeases(cluster.database, node_id)
    node = cluster.node(node_id)
    return Keeper(clock, node, leases, engine, lambda: None, interval=0.05, **changes)


def beaten(cluster: Cluster, node_id: str) -> None:
    """Wait until the node has sent a heartbeat at the present time."""
    pause = threading.Event()
    for _ in range(600):
        up = {node.id: node.heartbeat for node in cluster.node(node_id).fresh()}
        if up[node_id] == cluster.time.now or pause.wait(0.05):
            break
    assert up[node_id] == cluster.time.now


def test_second_machine_gets_the_database_once_the_first_releases_it(
    database: Database, clock: FakeClock
) -> None:
    first, second = a_keeper(database, clock), a_keeper(database, clock)
    assert first.join()
    assert first.join()
    assert not second.join()
    assert (first.holds, second.holds) == (True, False)
    first.close()
    assert not first.holds
    assert second.join()
    second.close()
    with database.read() as connection:
        assert connection.scalars(select(nodes.c.id)).all() == []


def test_released_node_does_not_join(database: Database, clock: FakeClock) -> None:
    keeper = a_keeper(database, clock)
    keeper.release()
    assert not keeper.join()


def test_database_that_another_machine_has_taken_is_noticed(
    postgres_database: Database, clock: FakeClock
) -> None:
    lost = threading.Event()
    keeper = a_keeper(postgres_database, clock, lost.set)
    assert keeper.join()
    with postgres_database.write() as connection:
        connection.execute(update(serving).values(holder="another", pid_began=None, machine=None))
    assert lost.wait(30)
    assert not keeper.holds
    keeper.close()
    with postgres_database.write() as connection:
        connection.execute(delete(serving))


def test_calls_of_a_room_that_another_node_has_taken_are_handed_back(
    cluster: Cluster, clock: FakeClock
) -> None:
    engine = SocketEngine(clock)
    cluster.serving("nd_a")
    call = streaming(cluster, engine, "nd_a")
    # The node stalls for longer than the lease, and its caller asks again.
    (other,) = cluster.serving("nd_b")
    assert other.take_over(5_000).attached == 1
    again = Calls(cluster.database, cluster.placement("nd_b")).reissue(
        call.id, "again", 91_000, lambda place: []
    )
    assert again
    assert again.node_id == "nd_b"
    with closing(keeping(cluster, clock, engine, "nd_a")) as keeper:
        assert keeper.join()
        assert engine.told.wait(30)
        assert set(engine.handed_back) == {call.id}
        assert {node.id for node in other.fresh()} == {"nd_a", "nd_b"}


def test_calls_of_rooms_that_the_node_still_has_stay(cluster: Cluster, clock: FakeClock) -> None:
    engine = SocketEngine(clock)
    cluster.serving("nd_a")
    call = streaming(cluster, engine, "nd_a")
    with closing(keeping(cluster, clock, engine, "nd_a")) as keeper:
        assert keeper.join()
        cluster.time.advance(1)
        beaten(cluster, "nd_a")
        assert engine.handed_back == []
        assert Calls(cluster.database).get(call.id).node_id == "nd_a"


@pytest.mark.skipif(identity.machine() is None, reason="only Linux tells which processes run")
def test_calls_of_a_killed_node_are_taken_over_by_a_running_one(
    cluster: Cluster, clock: FakeClock
) -> None:
    cluster.serving("nd_b")
    call = streaming(cluster, SocketEngine(clock), "nd_b")
    cluster.kill("nd_b")
    with closing(keeping(cluster, clock, SocketEngine(clock), "nd_a")) as keeper:
        assert keeper.join()
        pause = threading.Event()
        for _ in range(600):
            stored = Calls(cluster.database).get(call.id)
            if stored.detached_at is not None or pause.wait(0.05):
                break
    assert (stored.node_id, stored.detached_at) == (None, clock.now())


def test_node_that_fell_silent_is_told_which_calls_were_taken_over(
    cluster: Cluster, clock: FakeClock
) -> None:
    cluster.serving("nd_a", "nd_b")
    call = streaming(cluster, SocketEngine(clock), "nd_b")
    told: SimpleQueue[tuple[str, tuple[str, ...]]] = SimpleQueue()

    def tell(*lost: Any) -> None:
        told.put(lost)

    with closing(keeping(cluster, clock, SocketEngine(clock), "nd_a", tell_lost=tell)) as keeper:
        assert keeper.join()
        # The keeper has sent a heartbeat at each of these times, and the other node none.
        for _ in range(4):
            cluster.time.advance(5)
            beaten(cluster, "nd_a")
        assert told.get(timeout=30) == ("nd_b", (call.id,))
