"""Placement of calls: a room is on one node, and moves to another only once its own is gone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from sqlalchemy import select

from service.domain.calls import Call, EndReason
from service.domain.ids import new_call_id
from service.errors import Busy
from service.process import identity
from service.storage.calls.calls import Calls
from service.storage.calls.steering import StoredSteering
from service.storage.cluster.room_leases import RoomLeases
from service.storage.database import Database
from service.storage.tables import room_leases
from tests.support.clusters import Cluster, a_cluster
from tests.support.nodes import another
from tests.support.races import at_once
from tests.support.records import a_call

NODES = ("nd_a", "nd_b", "nd_c")
ROOM = "abcd-efgh-ijkl"
REFS = 91_000


@dataclass
class Placed:
    """Three nodes that serve, and the calls as each of them stores them."""

    cluster: Cluster

    def calls(self, node_id: str) -> Calls:
        return Calls(self.cluster.database, self.cluster.placement(node_id))

    def admit(self, by: str, room_id: str | None = ROOM, limit: int = 100) -> Call | None:
        """Have a node admit a call, and return it as stored."""
        call = a_call(room_id=room_id)
        if not self.calls(by).admit(call, call.id, limit):
            return None
        return self.calls(by).get(call.id)

    def node(self, by: str, room_id: str | None = ROOM) -> str | None:
        """Return where a node has a new call placed."""
        call = self.admit(by, room_id)
        assert call
        return call.node_id

    def leases(self) -> dict[str, tuple[str, int]]:
        with self.cluster.database.read() as connection:
            rows = connection.execute(select(room_leases))
            return {row.room_id: (row.node_id, row.epoch) for row in rows}

    def of(self, node_id: str) -> RoomLeases:
        return RoomLeases(self.cluster.database, node_id)


@pytest.fixture
def placed(database: Database) -> Iterator[Placed]:
    with a_cluster(database) as cluster:
        cluster.serving(*NODES)
        yield Placed(cluster)


def drain(placed: Placed, *node_ids: str) -> None:
    for node_id in node_ids:
        placed.cluster.node(node_id).drain()


def test_calls_of_one_room_are_on_one_node(placed: Placed) -> None:
    assert [placed.node(by) for by in NODES] == ["nd_a"] * 3
    assert placed.leases() == {ROOM: ("nd_a", 1)}


def test_new_rooms_go_to_the_node_with_the_fewest_calls(placed: Placed) -> None:
    rooms = [f"room-{number}" for number in range(6)]
    owners = [placed.node("nd_b", room) for room in rooms]
    assert owners[0] == "nd_b"
    assert sorted(filter(None, owners)) == ["nd_a", "nd_a", "nd_b", "nd_b", "nd_c", "nd_c"]


def test_call_without_a_room_is_placed_and_takes_no_lease(placed: Placed) -> None:
    assert placed.node("nd_c", None) == "nd_c"
    assert placed.leases() == {}


def test_room_of_a_draining_node_goes_to_another(placed: Placed) -> None:
    assert placed.node("nd_a") == "nd_a"
    drain(placed, "nd_a")
    assert [placed.node(by) for by in NODES] == ["nd_b"] * 3
    assert placed.leases() == {ROOM: ("nd_b", 2)}


@pytest.mark.skipif(identity.machine() is None, reason="only Linux tells which processes run")
def test_room_of_a_killed_node_goes_to_another_at_once(placed: Placed) -> None:
    assert placed.node("nd_a") == "nd_a"
    placed.cluster.kill("nd_a")
    assert placed.node("nd_b") == "nd_b"


def test_room_of_a_silent_node_goes_to_another_after_the_lease(placed: Placed) -> None:
    assert placed.node("nd_a") == "nd_a"
    for seconds, owner in ((5, "nd_a"), (4.9, "nd_a"), (0.1, "nd_b")):
        placed.cluster.time.advance(seconds)
        for other in ("nd_b", "nd_c"):
            assert placed.cluster.node(other).beat()
        assert placed.node("nd_b") == owner


def test_rooms_stay_where_they_are_after_an_outage(placed: Placed) -> None:
    assert placed.node("nd_a") == "nd_a"
    placed.cluster.time.advance(60)
    assert placed.node("nd_b") == "nd_a"
    assert placed.cluster.node("nd_b").beat()
    assert placed.node("nd_b") == "nd_a"


def test_node_whose_heartbeat_is_old_gets_no_new_room(placed: Placed) -> None:
    placed.cluster.time.advance(60)
    assert placed.cluster.node("nd_b").beat()
    # The others have fewer calls. None of them is known to be gone so soon after an outage.
    assert [placed.node("nd_b", f"room-{number}") for number in range(3)] == ["nd_b"] * 3
    # A node gives rooms to itself without a heartbeat too.
    assert placed.node("nd_c", "new") == "nd_c"


def test_full_node_has_full_rooms_and_others_take_new_ones(placed: Placed) -> None:
    rooms = [f"room-{number}" for number in range(6)]
    assert all(placed.admit("nd_a", room, limit=2) for room in rooms)
    assert placed.admit("nd_b", rooms[0], limit=2) is None
    assert placed.admit("nd_b", "new", limit=2) is None
    assert placed.calls("nd_b").are_full(2)
    assert not placed.calls("nd_b").are_full(3)
    placed.calls("nd_a").end(in_room(placed, rooms[0]), EndReason.ENDED_BY_API, 5_000)
    assert placed.admit("nd_b", rooms[1], limit=2) is None
    assert not placed.calls("nd_b").are_full(2)
    drain(placed, "nd_a")
    assert placed.calls("nd_b").are_full(2)
    assert placed.admit("nd_b", "other", limit=2) is None


def test_new_room_goes_to_the_node_that_is_not_full(placed: Placed) -> None:
    rooms = [f"room-{number}" for number in range(6)]
    assert all(placed.admit("nd_a", room, limit=2) for room in rooms)
    placed.calls("nd_a").end(in_room(placed, rooms[0]), EndReason.ENDED_BY_API, 5_000)
    assert placed.node("nd_b", "new") == "nd_a"


def in_room(placed: Placed, room_id: str) -> str:
    (call,) = placed.calls("nd_a").in_room(room_id)
    return call.id


def test_admitted_call_is_not_refused_for_a_full_node(placed: Placed) -> None:
    call, other = placed.admit("nd_a"), placed.admit("nd_a")
    assert call
    assert other
    assert placed.admit("nd_b", limit=2) is None
    again = placed.calls("nd_b").reissue(call.id, "again", REFS, lambda place: [])
    assert again
    assert again.node_id == "nd_a"
    assert placed.calls("nd_c").claim("again", "twilio", "leg", 2_000).node_id == "nd_a"


def test_socket_goes_to_the_node_that_has_the_room_then(placed: Placed) -> None:
    call = placed.admit("nd_a")
    assert call
    drain(placed, "nd_a")
    claimed = placed.calls("nd_c").claim(call.id, "twilio", "leg", 2_000)
    assert claimed.node_id == placed.leases()[ROOM][0] == "nd_c"
    assert placed.calls("nd_a").nodes_of([call.id, "unknown"]) == {call.id: "nd_c"}


def test_moved_call_is_on_the_node_of_its_new_room(placed: Placed) -> None:
    call = placed.admit("nd_a")
    assert call
    assert placed.node("nd_b", "another") == "nd_b"
    placed.calls("nd_a").claim(call.id, "twilio", "leg", 2_000)
    assert placed.calls("nd_a").answered(call.id, "leg", "s1", 2_100)
    steering = StoredSteering(placed.cluster.database, placed.cluster.placement("nd_c"))
    moved = steering.move(call.id, "another", call.participant, 3_000)
    assert moved.node_id == "nd_b"


def test_nobody_is_let_in_while_no_node_serves(placed: Placed) -> None:
    call = placed.admit("nd_a")
    assert call
    drain(placed, *NODES)
    assert placed.admit("nd_a") is None
    with pytest.raises(Busy):
        placed.calls("nd_a").claim(call.id, "twilio", "leg", 2_000)
    assert placed.cluster.node("nd_d").register()
    assert placed.calls("nd_a").claim(call.id, "twilio", "leg", 2_000).node_id == "nd_d"


def test_start_of_a_leg_on_a_node_that_lost_the_call_is_not_recorded(placed: Placed) -> None:
    call = placed.admit("nd_a")
    assert call
    placed.calls("nd_a").claim(call.id, "twilio", "leg", 2_000)
    drain(placed, "nd_a")
    assert placed.calls("nd_b").reissue(call.id, "again", REFS, lambda place: [])
    late = placed.calls("nd_a").answered(call.id, "leg", "s1", 2_100)
    assert late
    assert (late.node_id, late.answered_at, late.session_id) == ("nd_b", None, None)


def test_call_that_another_node_has_is_not_taken_back(placed: Placed) -> None:
    call = placed.admit("nd_a")
    assert call
    placed.calls("nd_a").claim(call.id, "twilio", "leg", 2_000)
    assert placed.calls("nd_a").answered(call.id, "leg", "s1", 2_100)
    placed.cluster.node("nd_a").leave(3_000)
    # While nobody else has it, the node that has its socket takes it back.
    assert placed.calls("nd_a").detached_legs("nd_a") == {call.id: "leg"}
    assert placed.calls("nd_b").reissue(call.id, "again", REFS, lambda place: [])
    assert placed.calls("nd_a").detached_legs("nd_a") == {}
    assert not placed.calls("nd_a").reattached(call.id, "leg")


def test_idle_rooms_are_released_and_others_kept(placed: Placed) -> None:
    call = placed.admit("nd_a")
    assert call
    assert placed.of("nd_a").release_idle() == 0
    placed.calls("nd_a").end(call.id, EndReason.ENDED_BY_API, 5_000)
    assert placed.of("nd_b").release_idle() == 0
    assert placed.of("nd_a").release_idle() == 1
    assert placed.leases() == {}


def test_idle_rooms_of_a_node_that_is_gone_are_released(placed: Placed) -> None:
    call = placed.admit("nd_a")
    assert call
    placed.calls("nd_a").end(call.id, EndReason.ENDED_BY_API, 5_000)
    placed.cluster.node("nd_a").leave(6_000)
    assert placed.of("nd_b").release_idle() == 1


def test_room_whose_lease_another_node_has_is_lost(placed: Placed) -> None:
    placed.node("nd_a")
    drain(placed, "nd_a")
    assert placed.of("nd_a").lost({ROOM}) == set()
    placed.node("nd_b")
    assert placed.of("nd_a").lost({ROOM, "unknown"}) == {ROOM, "unknown"}
    assert placed.of("nd_b").lost({ROOM}) == set()


def test_room_that_200_callers_open_at_once_has_one_node(placed: Placed) -> None:
    with another(placed.cluster.database) as second, another(placed.cluster.database) as third:
        databases = (placed.cluster.database, second, third)

        def admit(index: int) -> str | None:
            who = index % len(NODES)
            calls = Calls(databases[who], placed.cluster.placement(NODES[who]))
            call = a_call()
            # Busy is an answer too: the provider asks again.
            while True:
                try:
                    assert calls.admit(call, call.id, 1_000)
                    return calls.get(call.id).node_id
                except Busy:
                    continue

        owners = at_once(200, admit)
    assert len(set(owners)) == 1
    assert placed.leases() == {ROOM: (owners[0], 1)}


def test_sockets_that_open_a_room_at_once_are_on_one_node(placed: Placed) -> None:
    refs = [new_call_id() for _ in range(24)]
    for ref in refs:
        assert Calls(placed.cluster.database).admit(a_call(), ref, 100)
    assert placed.leases() == {}

    def claim(index: int) -> str | None:
        calls = placed.calls(NODES[index % len(NODES)])
        return calls.claim(refs[index], "twilio", f"leg-{index}", 2_000).node_id

    owners = at_once(len(refs), claim)
    assert len(set(owners)) == 1
    assert placed.leases()[ROOM] == (owners[0], 1)
