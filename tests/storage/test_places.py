"""Places of calls on several machines, and sockets that came to another machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import pytest

from service.domain.calls import Call, LadderEvent, LadderStep
from service.domain.nodes import Place
from service.errors import Busy, Gone, Misdirected
from service.storage.calls.calls import Calls
from service.storage.calls.pins import Pins
from service.storage.calls.steering import StoredSteering
from service.storage.database import Database
from tests.support.clusters import Cluster, a_cluster
from tests.support.records import a_call

ROOM = "room-1"
URLS = {
    "nd_a": "https://voice1.example.com",
    "nd_b": "https://voice2.example.com",
    "nd_b2": "https://voice2.example.com",
}
REFS = 90_000


@dataclass
class Machines:
    """One machine with the node nd_a, and another one with nd_b and nd_b2."""

    cluster: Cluster

    def calls(self, node_id: str) -> Calls:
        return Calls(self.cluster.database, self.cluster.placement(node_id, URLS[node_id]))

    def admit(self, by: str, call: Call | None = None) -> Call:
        """Have a node admit a call. Its reference is its id."""
        admitted = call or a_call(room_id=ROOM)
        assert self.calls(by).admit(admitted, admitted.id, 100)
        return self.calls(by).get(admitted.id)

    def claim(self, by: str, ref: str) -> str | None:
        return self.calls(by).claim(ref, "twilio", "leg", 2_000).node_id

    def drain(self, *node_ids: str) -> None:
        for node_id in node_ids:
            self.cluster.node(node_id).drain()


@pytest.fixture
def machines(database: Database) -> Iterator[Machines]:
    with a_cluster(database) as cluster:
        cluster.serving(*URLS, urls=URLS)
        yield Machines(cluster)


def to(place: Place) -> list[LadderStep]:
    """Return a step that names the place."""
    return [LadderStep(LadderEvent.MARKUP, 1, a_call().status, place.node_url)]


def last_detail(machines: Machines, call_id: str) -> str | None:
    return machines.calls("nd_a").get(call_id).steps[-1].detail


@pytest.mark.parametrize("answers", URLS)
def test_first_answer_leads_to_the_machine_of_the_rooms_node(
    machines: Machines, answers: str
) -> None:
    assert machines.admit("nd_b").node_id == "nd_b"
    call = a_call(room_id=ROOM)
    place = machines.calls(answers).admit(call, "ref", 100, to)
    assert place == Place("nd_b", URLS["nd_b"], is_here=answers != "nd_a")
    assert last_detail(machines, call.id) == URLS["nd_b"]


def test_another_answer_leads_to_the_machine_that_has_the_room_then(machines: Machines) -> None:
    call = machines.admit("nd_a")
    assert call.node_id == "nd_a"
    machines.drain("nd_a", "nd_b2")
    place = machines.calls("nd_a").reissue(call.id, "again", REFS, to)
    assert place == Place("nd_b", URLS["nd_b"], is_here=False)
    assert last_detail(machines, call.id) == URLS["nd_b"]
    assert machines.claim("nd_b2", "again") == "nd_b"


def test_answer_to_the_right_pin_leads_to_the_machine_of_the_room(machines: Machines) -> None:
    assert machines.admit("nd_b").node_id == "nd_b"
    call = machines.admit("nd_a", a_call(room_id=None, pin_tries=1))
    assert call.node_id == "nd_a"
    pins = Pins(machines.cluster.database, machines.cluster.placement("nd_a", URLS["nd_a"]))
    assert pins.verified(call.id, 1, ROOM, "ref", REFS, to) == Place(
        "nd_b", URLS["nd_b"], is_here=False
    )
    assert last_detail(machines, call.id) == URLS["nd_b"]
    assert machines.calls("nd_a").get(call.id).node_id == "nd_b"
    assert machines.claim("nd_b2", "ref") == "nd_b"


def test_socket_at_the_wrong_machine_leaves_call_and_reference_as_they_were(
    machines: Machines,
) -> None:
    call = machines.admit("nd_a")
    with pytest.raises(Misdirected) as refused:
        machines.claim("nd_b", call.id)
    assert refused.value.message == (
        "The call is on the machine https://voice1.example.com, and the socket came to the "
        "machine https://voice2.example.com."
    )
    assert machines.calls("nd_b").get(call.id) == call
    assert machines.claim("nd_a", call.id) == "nd_a"


@pytest.mark.parametrize("claims", ["nd_b", "nd_b2"])
def test_socket_of_a_room_whose_node_is_gone_stays_on_the_machine_that_it_came_to(
    machines: Machines, claims: str
) -> None:
    call = machines.admit("nd_b")
    machines.drain("nd_a", "nd_b")
    machines.admit("nd_b2", a_call(room_id="another"))
    # The other machine has fewer calls.
    assert machines.cluster.node("nd_a", url=URLS["nd_a"]).register()
    machines.calls(claims).require_here(call.id, 2_000)
    assert machines.claim(claims, call.id) == "nd_b2"


def test_socket_at_a_machine_without_a_node_that_serves_is_refused(machines: Machines) -> None:
    call = machines.admit("nd_a")
    machines.drain("nd_a")
    with pytest.raises(Misdirected):
        machines.claim("nd_a", call.id)
    machines.drain("nd_b", "nd_b2")
    with pytest.raises(Busy):
        machines.claim("nd_a", call.id)


def test_reference_of_a_call_on_another_machine_is_refused_before_its_claim(
    machines: Machines,
) -> None:
    call = machines.admit("nd_a")
    for _ in range(2):
        with pytest.raises(Misdirected) as refused:
            machines.calls("nd_b").require_here(call.id, 2_000)
    noted = machines.calls("nd_b").get(call.id).steps
    assert [step.detail for step in noted if step not in call.steps] == [refused.value.message]
    machines.calls("nd_a").require_here(call.id, 2_000)
    machines.calls("nd_b").require_here("unknown", 2_000)
    machines.drain("nd_a")
    machines.calls("nd_b").require_here(call.id, 2_000)


def test_used_reference_is_used_up_on_every_machine(machines: Machines) -> None:
    call = machines.admit("nd_a")
    machines.claim("nd_a", call.id)
    for node_id in URLS:
        with pytest.raises(Gone):
            machines.claim(node_id, call.id)


@pytest.mark.parametrize("moves", ["nd_a", "nd_b"])
def test_call_is_moved_to_a_new_room_on_its_own_machine(machines: Machines, moves: str) -> None:
    call = machines.admit("nd_b")
    machines.claim("nd_b", call.id)
    assert machines.calls("nd_b").answered(call.id, "leg", "s1", 2_100)
    machines.admit("nd_b2", a_call(room_id="another"))
    # The other machine has no calls.
    steering = StoredSteering(
        machines.cluster.database, machines.cluster.placement(moves, URLS[moves])
    )
    moved = steering.move(call.id, "new", call.participant, 3_000)
    assert moved.node_id in ("nd_b", "nd_b2")


def test_call_that_moved_on_is_let_in_where_its_next_answer_leads(machines: Machines) -> None:
    """A room whose node drains goes to another machine while a caller is on the way."""
    call = machines.admit("nd_a")
    machines.drain("nd_a")
    machines.admit("nd_b")
    asked = 0
    ref, place = call.id, Place("nd_a", URLS["nd_a"])
    while asked < 3:
        with suppress(Misdirected):
            assert place.node_id
            assert machines.claim(place.node_id, ref) == machines.calls("nd_b").get(call.id).node_id
            break
        asked += 1
        again = machines.calls("nd_b").reissue(call.id, f"again-{asked}", REFS, to)
        assert again
        ref, place = f"again-{asked}", again
    assert asked == 1
