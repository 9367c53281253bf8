"""Nodes: heartbeats by the database's time, and takeovers of the calls of nodes that are gone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from service.domain.calls import Call
from service.domain.ids import new_call_id
from service.domain.nodes import NodeState
from service.errors import Busy
from service.process import identity
from service.storage.calls.calls import Calls
from service.storage.cluster.nodes import Nodes
from service.storage.cluster.placement import SingleNode
from service.storage.database import Database
from service.storage.work_leases import WorkLeases
from tests.support.clusters import Cluster, DatabaseTime, a_cluster
from tests.support.records import a_call

LINUX = pytest.mark.skipif(
    identity.machine() is None, reason="only Linux tells which processes run"
)


@pytest.fixture
def cluster(database: Database) -> Iterator[Cluster]:
    with a_cluster(database) as cluster:
        yield cluster


@pytest.fixture
def time(cluster: Cluster) -> DatabaseTime:
    return cluster.time


@pytest.fixture
def one(cluster: Cluster) -> Nodes:
    """A node that has been up for long enough to judge others."""
    (node,) = cluster.serving("nd_one")
    return node


@pytest.fixture
def two(cluster: Cluster, one: Nodes) -> Nodes:
    """Another node of the same machine, which has just started."""
    node = cluster.node("nd_two")
    assert node.register()
    return node


def answered(database: Database, node_id: str | None) -> Call:
    """Return a call whose leg is on a node."""
    calls, call = Calls(database, SingleNode(node_id)), a_call()
    ref = new_call_id()
    assert calls.admit(call, ref, 100)
    calls.claim(ref, "twilio", f"leg-{call.id}", 2_000)
    assert calls.answered(call.id, f"leg-{call.id}", "s1", 2_100)
    return call


def test_nodes_of_one_machine_are_up_side_by_side(cluster: Cluster, one: Nodes, two: Nodes) -> None:
    up = [(node.id, node.state) for node in two.fresh()]
    assert up == [("nd_one", NodeState.SERVING), ("nd_two", NodeState.SERVING)]
    assert one.serves_elsewhere()
    assert not cluster.node("nd_far", "machine-2").register()


def test_nodes_that_are_gone_are_listed_until_they_are_taken_over(
    one: Nodes, two: Nodes, time: DatabaseTime
) -> None:
    for seconds in (5, 4.9):
        time.advance(seconds)
        assert one.beat()
    time.advance(0.1)
    silent = {each.node.id: (each.silent, each.has_lapsed) for each in one.listed()}
    assert silent == {"nd_one": (100, False), "nd_two": (10_000, True)}
    assert {each.node.id: each.up for each in one.listed()}["nd_two"] == 10_000
    one.take_over(5_000)
    assert [each.node.id for each in one.listed()] == ["nd_one"]


def test_a_node_without_heartbeats_is_gone_after_the_lease(
    one: Nodes, two: Nodes, time: DatabaseTime
) -> None:
    for seconds in (5, 4.9):
        time.advance(seconds)
        assert one.beat()
    assert not one.sees_gone()
    time.advance(0.1)
    assert one.sees_gone()
    assert one.take_over(5_000).attached == 0
    assert [node.id for node in one.fresh()] == ["nd_one"]
    assert not two.beat()


def test_a_heartbeat_in_time_keeps_the_calls(
    database: Database, one: Nodes, two: Nodes, time: DatabaseTime
) -> None:
    call = answered(database, "nd_two")
    for _ in range(2):
        time.advance(5)
        assert one.beat()
    assert one.sees_gone()
    assert two.beat()
    assert one.take_over(5_000).attached == 0
    assert Calls(database).get(call.id).detached_at is None


def test_a_takeover_leaves_the_calls_of_live_nodes(
    cluster: Cluster, database: Database, one: Nodes, two: Nodes
) -> None:
    mine, theirs = answered(database, "nd_one"), answered(database, "nd_two")
    waiting = a_call()
    assert Calls(database, SingleNode("nd_two")).admit(waiting, None, 100)
    cluster.kill("nd_two")
    assert one.take_over(5_000).attached == 1
    calls = Calls(database)
    taken = {call_id: calls.get(call_id) for call_id in (mine.id, theirs.id, waiting.id)}
    assert (taken[mine.id].node_id, taken[mine.id].detached_at) == ("nd_one", None)
    assert (taken[theirs.id].node_id, taken[theirs.id].detached_at) == (None, 5_000)
    assert (taken[waiting.id].node_id, taken[waiting.id].detached_at) == (None, None)
    assert one.take_over(6_000).attached == 0


def test_calls_of_a_node_that_fell_silent_are_named(
    database: Database, one: Nodes, two: Nodes, time: DatabaseTime
) -> None:
    call = answered(database, "nd_two")
    for _ in range(2):
        time.advance(5)
        assert one.beat()
    taken = one.take_over(5_000)
    assert (taken.attached, taken.silent) == (1, {"nd_two": (call.id,)})


@LINUX
def test_calls_of_a_process_that_was_seen_to_end_are_not_named(
    cluster: Cluster, database: Database, one: Nodes, two: Nodes
) -> None:
    answered(database, "nd_two")
    cluster.kill("nd_two")
    taken = one.take_over(5_000)
    assert (taken.attached, taken.silent) == (1, {})


@LINUX
def test_a_killed_process_is_gone_at_once(cluster: Cluster, one: Nodes, two: Nodes) -> None:
    assert not one.sees_gone()
    cluster.kill("nd_two")
    assert one.sees_gone()
    assert [node.id for node in one.fresh()] == ["nd_one"]


def test_nothing_is_taken_over_because_the_database_was_away(
    one: Nodes, two: Nodes, time: DatabaseTime
) -> None:
    time.advance(60)
    assert not one.sees_gone()
    assert one.beat()
    assert not one.sees_gone()
    for seconds in (5, 4.9):
        time.advance(seconds)
        assert one.beat()
    assert not one.sees_gone()
    time.advance(0.1)
    assert one.sees_gone()
    assert two.beat()
    assert not one.sees_gone()


def test_a_node_whose_heartbeats_were_late_judges_nobody_for_a_while(
    one: Nodes, two: Nodes, time: DatabaseTime
) -> None:
    # The other node was about to send its next heartbeat when the database went away.
    time.advance(2.9)
    assert one.beat()
    time.advance(7.1)
    assert one.beat()
    assert not one.sees_gone()
    assert two.beat()
    assert not one.sees_gone()


def test_a_node_that_has_just_started_judges_nobody(
    cluster: Cluster, one: Nodes, time: DatabaseTime
) -> None:
    time.advance(10)
    started = cluster.node("nd_new")
    assert started.register()
    assert not started.sees_gone()


@pytest.mark.parametrize(
    ("other", "reason"),
    [({"version": "9.9.9"}, "version"), ({"secret": "another"}, "API_SECRET")],
)
def test_a_node_that_differs_waits_until_the_others_drain(
    cluster: Cluster, one: Nodes, other: dict[str, str], reason: str
) -> None:
    differing = cluster.node("nd_other", **other)
    with pytest.raises(Busy, match=reason):
        differing.register()
    assert [node.id for node in one.fresh()] == ["nd_one"]
    one.drain()
    assert differing.register()


def test_the_last_node_that_serves_releases_the_database(
    cluster: Cluster, one: Nodes, two: Nodes
) -> None:
    far = cluster.node("nd_far", "machine-2")
    one.release()
    assert [node.state for node in two.fresh()] == [NodeState.DRAINING, NodeState.SERVING]
    assert not far.register()
    two.release()
    assert one.beat(renews=False)
    assert far.register()


def test_a_machine_that_starts_takes_the_calls_of_the_last_one(
    cluster: Cluster, database: Database, one: Nodes
) -> None:
    call = answered(database, "nd_one")
    far = cluster.node("nd_far", "machine-2")
    one.release()
    assert far.register()
    assert far.take_over(5_000, has_started=True).attached == 1
    assert Calls(database).get(call.id).detached_at == 5_000
    assert not one.beat(renews=False)


def test_a_process_that_starts_takes_calls_that_no_node_has(
    cluster: Cluster, database: Database
) -> None:
    earlier, killed = answered(database, None), answered(database, "nd_killed")
    node = cluster.node("nd_one")
    assert node.register()
    assert node.take_over(5_000, has_started=True).attached == 2
    detached = {Calls(database).get(call.id).detached_at for call in (earlier, killed)}
    assert detached == {5_000}


def test_a_process_with_the_id_of_the_last_one_takes_its_calls(
    cluster: Cluster, database: Database
) -> None:
    answered(database, "nd_one")
    node = cluster.node("nd_one", machine_id="nd_one")
    assert node.register()
    assert node.take_over(5_000, has_started=True).attached == 1


def test_a_worker_that_starts_keeps_calls_that_others_have_placed_on_it(
    cluster: Cluster, database: Database, one: Nodes, two: Nodes
) -> None:
    call = answered(database, "nd_two")
    assert two.take_over(5_000, has_started=True).attached == 0
    assert Calls(database).get(call.id).node_id == "nd_two"


def test_a_node_that_leaves_has_no_calls(database: Database, one: Nodes, two: Nodes) -> None:
    call = answered(database, "nd_one")
    one.leave(5_000)
    assert [node.id for node in two.fresh()] == ["nd_two"]
    assert Calls(database).get(call.id).detached_at == 5_000


def test_shared_work_of_a_node_that_is_gone_is_free(
    cluster: Cluster, database: Database, one: Nodes, two: Nodes
) -> None:
    assert WorkLeases(database, "nd_one").claim("mine")
    assert WorkLeases(database, "nd_two").claim("theirs")
    cluster.kill("nd_two")
    one.take_over(5_000)
    other = WorkLeases(database, "nd_three")
    assert (other.claim("mine"), other.claim("theirs")) == (False, True)
