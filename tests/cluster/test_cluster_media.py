"""Calls of several nodes: each command and each socket reaches the node of its call."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from service.cluster.address import address
from service.cluster.keeper import ELSEWHERE
from service.domain.calls import EndReason
from service.media.rooms.reports import LegClosed, LegMoved, LegStarted
from tests.support.callers import Caller, agent, compact, twilio
from tests.support.clients import PATIENCE, Client
from tests.support.running_nodes import RunningNode, open_descriptors, private_folder, reported

OTHER = "zzzz-zzzz-zzzz"


class Machine:
    """Two nodes. ``homes`` are the nodes of calls, as the database has them."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self.homes: dict[str, str] = {}
        self.one = RunningNode(folder, "one", self.homes)
        self.two = RunningNode(folder, "two", self.homes)
        for node in (self.one, self.two):
            node.node.start()
        for node in (self.one, self.two):
            # Opens the descriptors that stay.
            assert {each.node for each in node.workers.processes()} == {"one", "two"}
        self._stack = stack

    def connect(self, via: RunningNode, home: RunningNode, caller: Caller) -> Client:
        """Return a client whose handshake was done by ``via``, for a call of ``home``."""
        self.homes[caller.spec.call_id] = home.id
        client = self._stack.enter_context(Client())
        via.adopt(client, caller)
        return client

    def join(self, via: RunningNode, home: RunningNode, caller: Caller) -> Client:
        client = self.connect(via, home, caller)
        client.send(caller.start)
        assert reported(home, LegStarted).leg_id == caller.spec.leg_id
        return client

    def stop(self) -> None:
        self.one.stop()
        self.two.stop()


@pytest.fixture
def machine() -> Iterator[Machine]:
    with private_folder() as folder, ExitStack() as clients:
        machine = Machine(folder, clients)
        try:
            yield machine
        finally:
            clients.close()
            machine.stop()


def test_a_socket_reaches_the_node_of_its_call(machine: Machine) -> None:
    ann = twilio("ann")
    machine.join(machine.one, machine.two, ann)
    assert [leg.call_id for leg in machine.two.engine.legs()] == ["call-ann"]
    assert machine.one.engine.legs() == ()


def test_a_spec_arrives_as_it_was_claimed(machine: Machine) -> None:
    for caller in (twilio("ann", session="5e55"), agent("bob")):
        machine.connect(machine.one, machine.two, caller)
    found = {leg.call_id: leg for leg in machine.two.engine.legs()}
    for caller in (twilio("ann", session="5e55"), agent("bob")):
        leg = found[caller.spec.call_id]
        assert replace(leg, wire=caller.spec.wire) == caller.spec
        assert type(leg.wire) is type(caller.spec.wire)


def test_what_a_client_sends_before_the_socket_is_passed_arrives(machine: Machine) -> None:
    ann, bob = twilio("ann"), agent("bob")
    listener = machine.join(machine.two, machine.two, bob)
    machine.homes[ann.spec.call_id] = "two"
    with Client() as phone:
        phone.send(ann.start)
        for _ in range(5):
            phone.send(ann.media(b"\x20" * 160))
        machine.one.adopt(phone, ann)
        assert reported(machine.two, LegStarted).leg_id == ann.spec.leg_id
        while b'"payload"' not in listener.read_text():
            pass
        phone.settle()
        stats = machine.two.engine.stats(["call-ann"])["call-ann"]
        assert (stats["framesIn"] > 0, stats["lost"], stats["malformed"]) == (True, 0, 0)


def test_a_passed_socket_leaves_no_descriptor_behind(machine: Machine) -> None:
    ann = agent("ann")
    with machine.join(machine.one, machine.two, ann):
        pass
    reported(machine.two, LegClosed)
    before = open_descriptors()
    for _ in range(5):
        with machine.join(machine.one, machine.two, ann):
            pass
        reported(machine.two, LegClosed)
    assert open_descriptors() == before


def test_a_socket_for_a_node_that_is_gone_is_closed_and_reported(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    before = open_descriptors()
    ann = twilio("ann")
    machine.homes[ann.spec.call_id] = "three"
    with Client() as phone:
        machine.one.adopt(phone, ann)
        assert phone.read() is None
        closed = reported(machine.one, LegClosed)
    assert (closed.leg_id, closed.reason) == (ann.spec.leg_id, None)
    assert closed.detail == "the socket could not be passed on: Node three is gone."
    assert closed.detail in caplog.text
    assert open_descriptors() == before


def test_a_socket_for_a_node_that_stops_is_closed_and_reported(machine: Machine) -> None:
    ann = twilio("ann")
    machine.two.engine.give_back()
    phone = machine.connect(machine.one, machine.two, ann)
    assert phone.read() is None
    assert "no more sockets" in reported(machine.one, LegClosed).detail


def test_a_socket_is_closed_where_the_directory_fails(machine: Machine) -> None:
    ann = twilio("ann")
    machine.one.directory_fails = True
    with Client() as phone:
        machine.one.adopt(phone, ann)
        assert phone.read() is None
        assert "the node of the call is not known" in reported(machine.one, LegClosed).detail


def test_commands_reach_the_node_of_the_call(machine: Machine) -> None:
    ann, bob = agent("ann"), twilio("bob")
    program = machine.join(machine.one, machine.two, ann)
    phone = machine.join(machine.one, machine.two, bob)
    machine.one.media.hang_up("call-ann", EndReason.REMOVED, "removed")
    assert program.read_close() == (1000, "removed")
    assert reported(machine.two, LegClosed).reason is EndReason.REMOVED
    machine.one.media.release("call-bob", "go elsewhere")
    assert phone.read_close() == (1000, "go elsewhere")
    assert reported(machine.two, LegClosed).reason is None


def test_a_node_hands_back_the_calls_that_were_taken_over(machine: Machine) -> None:
    ann, bob, eve = agent("ann"), twilio("bob"), twilio("eve")
    clients = [machine.join(machine.two, machine.two, each) for each in (ann, bob)]
    machine.join(machine.two, machine.two, eve)
    machine.one.node.tell_lost("two", ("call-ann", "call-bob"))
    for client in clients:
        assert client.read_close() == (1012, ELSEWHERE)
    assert [reported(machine.two, LegClosed).reason for _ in clients] == [None, None]
    assert set(machine.two.engine.stats(["call-ann", "call-bob", "call-eve"])) == {"call-eve"}


def test_commands_to_a_node_that_is_gone_raise_nothing(machine: Machine) -> None:
    machine.homes["call-ann"] = "three"
    machine.one.media.hang_up("call-ann", EndReason.REMOVED, "removed")
    machine.one.media.release("call-ann", "go elsewhere")
    machine.one.directory_fails = True
    machine.one.media.hang_up("call-ann", EndReason.REMOVED, "removed")


def test_a_move_within_another_node_is_carried_out_there(machine: Machine) -> None:
    ann = agent("ann")
    machine.join(machine.one, machine.two, ann)
    machine.one.media.move("call-ann", OTHER, ann.spec.participant, "5e55")
    assert reported(machine.two, LegMoved).session_id == "5e55"


@pytest.mark.parametrize("make", [twilio, agent])
def test_a_move_to_another_node_takes_the_socket_along(
    machine: Machine, make: type[Caller]
) -> None:
    ann, zoe = make("ann"), agent("zoe", room=OTHER, session="5e55")
    listener = machine.join(machine.two, machine.two, zoe)
    client = machine.join(machine.one, machine.one, ann)
    machine.homes["call-ann"] = "two"
    machine.one.media.move("call-ann", OTHER, replace(ann.spec.participant, id="new"), None)
    moved = reported(machine.two, LegMoved)
    assert (moved.room_id, moved.participant_id, moved.session_id) == (OTHER, "new", "5e55")
    for _ in range(3):
        client.send(ann.media(b"\x20" * 160))
    while not json.loads(listener.read_text()).get("payload", "").strip("A="):
        pass
    assert machine.one.engine.legs() == ()
    assert machine.one.engine.reports.empty()


def test_a_move_to_an_unknown_node_leaves_the_socket_where_it_is(machine: Machine) -> None:
    ann = agent("ann")
    program = machine.join(machine.one, machine.two, ann)
    machine.one.directory_fails = True
    machine.one.media.move("call-ann", OTHER, ann.spec.participant, None)
    # Commands are sent in order, so the node has handled the move before this one.
    machine.one.node.hint(["outbox"])
    machine.two.hints.get(timeout=PATIENCE)
    assert [leg.room_id for leg in machine.two.engine.legs()] == [ann.spec.room_id]
    program.settle()


def test_a_move_that_a_third_party_asks_for_finds_the_socket(machine: Machine) -> None:
    ann = agent("ann")
    machine.join(machine.two, machine.two, ann)
    machine.homes["call-ann"] = "one"
    machine.one.media.move("call-ann", OTHER, ann.spec.participant, "5e55")
    assert reported(machine.one, LegMoved).room_id == OTHER


def test_a_move_to_a_node_that_is_gone_closes_the_socket_with_its_statistics(
    machine: Machine,
) -> None:
    descriptors = []
    for _ in range(2):
        ann = agent("ann")
        with machine.join(machine.one, machine.one, ann) as program:
            program.send(ann.media(b"\x00\x20" * 160))
            program.send(compact({"event": "mark", "name": "end"}))
            while b'"end"' not in program.read_text():
                pass
            machine.homes["call-ann"] = "three"
            machine.one.media.move("call-ann", OTHER, ann.spec.participant, None)
            closed = reported(machine.one, LegClosed)
            assert (closed.reason, closed.stats["framesIn"]) == (None, 1)
            assert closed.loudness is not None
            while program.read() is not None:
                pass
        descriptors.append(open_descriptors())
    assert descriptors[0] == descriptors[1]


def test_statistics_include_all_nodes(machine: Machine) -> None:
    for name, home in (("ann", machine.one), ("bob", machine.two)):
        machine.join(machine.one, home, agent(name))
    machine.homes["call-zoe"] = "three"
    found = machine.one.media.stats(["call-ann", "call-bob", "call-zoe", "call-tom"])
    assert found.keys() == {"call-ann", "call-bob"}
    assert found["call-bob"].keys() == found["call-ann"].keys()


def test_loudness_is_that_of_the_calls_node(machine: Machine) -> None:
    machine.join(machine.one, machine.two, agent("ann"))
    loudness = machine.one.media.loudness("call-ann", PATIENCE)
    assert loudness is not None
    assert loudness.leg_id == "ann-leg-1"
    machine.homes |= {"call-bob": "two", "call-zoe": "three"}
    assert machine.one.media.loudness("call-bob", PATIENCE) is None
    with pytest.raises(TimeoutError, match="Node three is gone"):
        machine.one.media.loudness("call-zoe")


def test_hints_reach_the_other_nodes_and_not_the_own(machine: Machine) -> None:
    machine.one.node.hint(["outbox"], ["call-ann"])
    assert machine.two.hints.get(timeout=PATIENCE) == ({"outbox"}, {"call-ann"})
    machine.two.node.hint(["dispatches"])
    assert machine.one.hints.get(timeout=PATIENCE) == ({"dispatches"}, set())
    assert machine.two.hints.empty()


def test_a_page_shows_levels_and_changes_of_all_nodes(machine: Machine) -> None:
    for name, home in (("ann", machine.one), ("bob", machine.two)):
        machine.join(machine.one, home, agent(name))
    with Client() as page:
        machine.one.media.watch(page.ours.dup())
        page.ours.close()
        assert json.loads(page.read_text()) == {"event": "changed"}
        while True:
            document = json.loads(page.read_text())
            if document["event"] == "levels" and len(document["calls"]) == 2:
                break
        assert document["calls"].keys() == {"call-ann", "call-bob"}
        machine.two.media.announce()
        while json.loads(page.read_text()) != {"event": "changed"}:
            pass


def test_a_node_that_ends_is_absent_from_the_levels(machine: Machine) -> None:
    machine.join(machine.one, machine.two, agent("ann"))
    with Client() as page:
        machine.one.media.watch(page.ours.dup())
        page.ours.close()
        for count in (1, 0):
            while True:
                document = json.loads(page.read_text())
                if document["event"] == "levels" and len(document["calls"]) == count:
                    break
            machine.two.stop()


def test_a_stopped_node_leaves_no_address(machine: Machine) -> None:
    machine.two.stop()
    assert not Path(address(machine.folder, "two")).exists()
    assert [each.node for each in machine.one.workers.processes()] == ["one"]
