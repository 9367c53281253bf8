"""Machines that serve from one database: side by side with a NODE_URL each, else one at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from service.domain.calls import Call
from service.domain.ids import new_call_id
from service.domain.nodes import LEASE_SECONDS, NodeState
from service.errors import Busy
from service.process import identity
from service.storage.calls.calls import Calls
from service.storage.cluster.nodes import Nodes
from service.storage.cluster.placement import SingleNode
from service.storage.cluster.room_leases import RoomLeases
from service.storage.database import Database
from service.storage.work_leases import WorkLeases
from tests.support.clusters import Cluster, a_cluster
from tests.support.races import at_once
from tests.support.records import a_call

LINUX = pytest.mark.skipif(
    identity.machine() is None, reason="only Linux tells which processes run"
)


class Machines:
    """Nodes of machines, each of which is on a host of its own."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.database = cluster.database

    def node(self, number: int, node_id: str | None = None, **changes: Any) -> Nodes:
        """Return a node of a machine with a NODE_URL."""
        usual = {"url": f"https://voice{number}.example.com"}
        return self.cluster.node(
            node_id or f"nd_{number}", f"machine-{number}", **{**usual, **changes}
        )

    def serving(self, *numbers: int) -> list[Nodes]:
        """Return nodes of several machines, up for long enough to judge others."""
        nodes = [self.node(number) for number in numbers]
        for node in nodes:
            assert node.register()
        self.pass_time(10, *nodes)
        return nodes

    def lone(self) -> Nodes:
        """Return a node of a machine without a NODE_URL."""
        return self.cluster.node("nd_lone", "machine-lone")

    def pass_time(self, seconds: int, *beating: Nodes) -> None:
        for _ in range(seconds):
            self.cluster.time.advance(1)
            for node in beating:
                assert node.beat()

    def answered(self, node_id: str) -> Call:
        """Return a call whose leg is on a node."""
        calls, call, ref = Calls(self.database, SingleNode(node_id)), a_call(), new_call_id()
        assert calls.admit(call, ref, 100)
        calls.claim(ref, "twilio", f"leg-{call.id}", 2_000)
        assert calls.answered(call.id, f"leg-{call.id}", "s1", 2_100)
        return call

    def node_of(self, call: Call) -> str | None:
        return Calls(self.database).get(call.id).node_id


@pytest.fixture
def machines(postgres_database: Database) -> Iterator[Machines]:
    with a_cluster(postgres_database) as cluster:
        yield Machines(cluster)


def test_machines_with_addresses_serve_side_by_side(machines: Machines) -> None:
    one, two = machines.serving(1, 2)
    up = [(node.id, node.url) for node in one.fresh()]
    assert up == [("nd_1", "https://voice1.example.com"), ("nd_2", "https://voice2.example.com")]
    assert (one.sees_gone(), two.sees_gone()) == (False, False)
    assert (one.serves_elsewhere(), two.serves_elsewhere()) == (True, True)
    found = one.find("nd_2")
    assert found is not None
    assert found.url == "https://voice2.example.com"
    assert one.find("nd_3") is None


def test_machines_that_start_at_once_all_serve(machines: Machines) -> None:
    nodes = [machines.node(number) for number in range(6)]
    assert at_once(len(nodes), lambda index: nodes[index].register()) == [True] * 6


def test_machines_that_start_at_once_with_one_address_do_not_serve_together(
    machines: Machines,
) -> None:
    def register(index: int) -> bool:
        try:
            return machines.node(index, url="https://voice.example.com").register()
        except Busy:
            return False

    assert sorted(at_once(6, register)) == [False] * 5 + [True]


def test_a_machine_without_an_address_does_not_serve_beside_others(machines: Machines) -> None:
    one, two = machines.serving(1, 2)
    lone = machines.lone()
    assert not lone.register()
    # The end of one machine frees the database only for machines like it.
    one.release()
    assert not lone.register()
    assert two.beat()
    two.release()
    assert lone.register()
    assert [node.id for node in lone.fresh()] == ["nd_lone"]
    assert not machines.node(3).register()
    assert not two.beat()


def test_a_machine_with_an_address_waits_for_one_without(machines: Machines) -> None:
    lone = machines.lone()
    assert lone.register()
    one = machines.node(1)
    assert not one.register()
    assert lone.beat()
    lone.release()
    assert one.register()
    call = machines.answered("nd_lone")
    assert one.take_over(5_000, has_started=True).attached == 1
    assert machines.node_of(call) is None


def test_the_database_is_free_once_no_machine_renews_its_lease(machines: Machines) -> None:
    machines.serving(1, 2)
    lone = machines.lone()
    # As seen from another host, which cannot tell that the processes have ended.
    for node_id in ("nd_1", "nd_2"):
        machines.cluster.move(node_id)
    machines.cluster.time.advance(LEASE_SECONDS - 3)
    assert not lone.register()
    machines.cluster.time.advance(3)
    assert lone.register()


def test_one_machine_renews_the_lease_for_all(machines: Machines) -> None:
    one, two = machines.serving(1, 2)
    machines.cluster.kill("nd_1")
    machines.pass_time(15, two)
    assert not machines.lone().register()
    assert two.sees_gone()
    two.take_over(5_000)
    assert [node.id for node in two.fresh()] == ["nd_2"]
    assert not one.beat()


@LINUX
def test_the_lease_of_machines_on_this_host_ends_with_their_last_process(
    machines: Machines,
) -> None:
    machines.serving(1, 2)
    lone = machines.lone()
    machines.cluster.kill("nd_1")
    assert not lone.register()
    machines.cluster.kill("nd_2")
    machines.cluster.kill_holder()
    assert lone.register()


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"version": "9.9.9"}, "version"),
        ({"secret": "another"}, "API_SECRET"),
        ({"url": "https://voice1.example.com"}, "NODE_URL https://voice1.example.com"),
    ],
)
def test_a_machine_that_differs_waits_until_the_others_drain(
    machines: Machines, other: dict[str, str], reason: str
) -> None:
    one, two = machines.serving(1, 2)
    third = machines.node(3, **other)
    with pytest.raises(Busy, match=reason):
        third.register()
    assert [node.id for node in one.fresh()] == ["nd_1", "nd_2"]
    one.drain()
    two.drain()
    assert third.register()
    assert [node.state for node in third.fresh()] == [
        NodeState.DRAINING,
        NodeState.DRAINING,
        NodeState.SERVING,
    ]


def test_the_next_server_of_a_machine_serves_once_the_last_one_drains(machines: Machines) -> None:
    one, two = machines.serving(1, 2)
    call = machines.answered("nd_1")
    following = machines.cluster.node("nd_next", "machine-next", url="https://voice1.example.com")
    with pytest.raises(Busy, match="NODE_URL"):
        following.register()
    one.drain()
    assert following.register()
    assert following.take_over(5_000, has_started=True).attached == 0
    assert machines.node_of(call) == "nd_1"
    one.release()
    one.leave(6_000)
    assert machines.node_of(call) is None
    assert two.beat()


def test_a_worker_with_the_address_of_its_own_machine_registers(machines: Machines) -> None:
    machines.serving(1)
    assert machines.node(1, "nd_sibling").register()


@LINUX
def test_a_machine_whose_server_was_killed_starts_at_once(machines: Machines) -> None:
    machines.serving(1)
    machines.cluster.kill("nd_1")
    assert machines.node(1, "nd_next").register()


def test_a_machine_that_was_lost_is_replaced_after_the_lease(machines: Machines) -> None:
    machines.serving(1)
    call = machines.answered("nd_1")
    machines.cluster.move("nd_1")
    replacement = machines.cluster.node("nd_next", "machine-next", url="https://voice1.example.com")
    for _ in range(LEASE_SECONDS):
        with pytest.raises(Busy, match="NODE_URL"):
            replacement.register()
        machines.cluster.time.advance(1)
    assert replacement.register()
    replacement.take_over(5_000, has_started=True)
    assert machines.node_of(call) is None


def test_a_machine_does_not_replace_another_because_the_database_was_away(
    machines: Machines,
) -> None:
    (one,) = machines.serving(1)
    other = machines.node(2, url="https://voice1.example.com")
    with pytest.raises(Busy, match="NODE_URL"):
        other.register()
    machines.cluster.time.advance(60)
    with pytest.raises(Busy, match="NODE_URL"):
        other.register()
    assert one.beat()
    machines.pass_time(9, one)
    with pytest.raises(Busy, match="NODE_URL"):
        other.register()


def test_a_machine_that_starts_leaves_the_calls_of_live_nodes(machines: Machines) -> None:
    machines.serving(1)
    answered, waiting = machines.answered("nd_1"), a_call()
    assert Calls(machines.database, SingleNode("nd_1")).admit(waiting, None, 100)
    two = machines.node(2)
    assert two.register()
    assert two.take_over(5_000, has_started=True).attached == 0
    assert (machines.node_of(answered), machines.node_of(waiting)) == ("nd_1", "nd_1")


def test_calls_of_a_lost_machine_are_taken_over_by_another(machines: Machines) -> None:
    one, two = machines.serving(1, 2)
    mine, theirs = machines.answered("nd_1"), machines.answered("nd_2")
    machines.pass_time(9, one)
    assert not one.sees_gone()
    machines.pass_time(1, one)
    assert one.sees_gone()
    taken = one.take_over(5_000)
    assert (taken.attached, taken.silent) == (1, {"nd_2": (theirs.id,)})
    assert (machines.node_of(mine), machines.node_of(theirs)) == ("nd_1", None)
    assert not two.beat()
    assert two.register()
    assert {node.id for node in one.fresh()} == {"nd_1", "nd_2"}


def test_shared_work_and_idle_rooms_of_other_machines_stay_theirs(machines: Machines) -> None:
    _, two = machines.serving(1, 2)
    assert WorkLeases(machines.database, "nd_1").claim("theirs")
    room_id = "abcd-efgh-ijkl"
    with machines.database.write() as connection:
        placement = machines.cluster.placement("nd_1")
        assert placement.place_of_next(connection, room_id).node_id == "nd_1"
    two.take_over(5_000, has_started=True)
    assert RoomLeases(machines.database, "nd_2").release_idle() == 0
    assert not WorkLeases(machines.database, "nd_2").claim("theirs")
    assert RoomLeases(machines.database, "nd_1").lost({room_id}) == set()


def test_a_stalled_renewal_holds_up_no_other_machine(machines: Machines) -> None:
    one, two = machines.serving(1, 2)
    machines.cluster.time.advance(3)
    with machines.database.write() as stalled:
        assert machines.cluster.shared_lease().renew(stalled)
        assert two.beat()
    assert one.beat()
