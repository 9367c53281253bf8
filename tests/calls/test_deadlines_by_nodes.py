"""Several nodes keep the deadlines of one database: each change is made once, by the right node."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue

import pytest

from service.calls.deadlines import Deadlines, SessionDeadlines
from service.domain.agents import Assignment
from service.domain.calls import Call, CallStatus, EndReason, LadderEvent, Participant
from service.storage.database import Database
from service.storage.rooms.sessions import Sessions
from tests.support.clocks import FakeClock
from tests.support.harness import BASE, Harness, a_harness, events, ref_of
from tests.support.nodes import another
from tests.support.races import at_once
from tests.support.records import a_connector

CALLS = 6


@pytest.fixture
def nodes(database: Database, clock: FakeClock) -> Iterator[tuple[Harness, Harness]]:
    """Two processes, each with connections and signals of its own."""
    with (
        another(database) as second,
        a_harness(database, clock, alone_seconds=30) as one,
        a_harness(second, clock, alone_seconds=30) as other,
    ):
        yield one, other


@contextmanager
def registered(node: Harness) -> Iterator[None]:
    """The node is up for the others, until the end."""
    assert node.stores.nodes.register()
    try:
        yield
    finally:
        node.stores.nodes.release()
        node.stores.nodes.leave(node.clock.now())


def answered(harness: Harness, number: int, **rule: str) -> Call:
    connector = harness.connect(a_connector(default_room_id=f"room-{number}", **rule))
    harness.start(ref_of(harness.webhook(connector)), session_id=f"s{number}")
    call: Call = harness.call(connector)
    return call


def lose(harness: Harness, call: Call) -> None:
    assert harness.calls.detached(call.id, call.leg_id or "", harness.clock.now(), "gone", None)


def sweep_at_once(*nodes: Harness) -> None:
    """Let all sweep until none has anything left."""

    def sweep(index: int) -> None:
        nodes[index].deadlines.sweep()
        nodes[index].session_deadlines.sweep()

    for _ in range(3):
        done = at_once(len(nodes), sweep)
        assert [each for each in done if isinstance(each, Exception)] == []


def test_each_call_ends_once(nodes: tuple[Harness, Harness]) -> None:
    one, _ = nodes
    lost = [answered(one, number) for number in range(CALLS)]
    for call in lost:
        lose(one, call)
    alone = answered(one, CALLS)
    one.clock.advance(30)
    sweep_at_once(*nodes)
    found = [one.calls.get(call.id) for call in (*lost, alone)]
    assert [call.end_reason for call in found] == [EndReason.CONNECTION_LOST] * CALLS + [
        EndReason.ALONE
    ]
    assert all(events(call).count(LadderEvent.END) == 1 for call in found)


def test_only_its_node_ends_a_call(nodes: tuple[Harness, Harness]) -> None:
    one, other = nodes
    with registered(one):
        call = answered(one, 1)
        lose(one, call)
        one.clock.advance(15)
        other.deadlines.sweep()
        assert one.calls.get(call.id).status is CallStatus.ANSWERED
        one.deadlines.sweep()
        assert one.calls.get(call.id).end_reason is EndReason.CONNECTION_LOST


def test_any_node_ends_a_call_whose_node_has_left(nodes: tuple[Harness, Harness]) -> None:
    one, other = nodes
    with registered(one):
        call = answered(one, 1)
        lose(one, call)
    one.clock.advance(15)
    other.deadlines.sweep()
    assert other.calls.get(call.id).end_reason is EndReason.CONNECTION_LOST


def test_hold_that_another_node_told_counts(nodes: tuple[Harness, Harness]) -> None:
    one, other = nodes
    call = answered(one, 1)
    lose(one, call)
    one.clock.advance(14)
    other.deadlines.held(call.id)
    other.deadlines.sweep()
    one.clock.advance(14.9)
    one.deadlines.sweep()
    assert one.calls.get(call.id).status is CallStatus.ANSWERED
    one.clock.advance(0.1)
    one.deadlines.sweep()
    assert one.calls.get(call.id).end_reason is EndReason.CONNECTION_LOST


def test_hold_told_by_a_node_without_the_database_counts(nodes: tuple[Harness, Harness]) -> None:
    one, _ = nodes
    told: SimpleQueue[str] = SimpleQueue()
    deadlines = Deadlines(
        one.services.settings,
        one.steady,
        one.database,
        one.calls,
        one.stores.holds,
        one.engine,
        one.ending,
        one.steering,
        one.serving,
        told,
    )
    call = answered(one, 1)
    lose(one, call)
    one.clock.advance(14)
    told.put(call.id)
    deadlines.sweep()
    one.clock.advance(14.9)
    deadlines.sweep()
    assert one.calls.get(call.id).status is CallStatus.ANSWERED
    one.clock.advance(0.1)
    deadlines.sweep()
    assert one.calls.get(call.id).end_reason is EndReason.CONNECTION_LOST


def test_hold_of_a_call_with_a_socket_changes_nothing(nodes: tuple[Harness, Harness]) -> None:
    one, other = nodes
    call = answered(one, 1)
    other.deadlines.held(call.id)
    other.deadlines.sweep()
    assert one.calls.get(call.id).expires_at is None


def test_deadlines_start_anew_after_the_database_was_away(nodes: tuple[Harness, Harness]) -> None:
    """Another node, which has not stored that yet, may have told the provider to hold."""
    one, _ = nodes
    call = answered(one, 1)
    lose(one, call)
    one.deadlines.interrupt()
    one.clock.advance(60)
    one.deadlines.sweep()
    assert one.calls.get(call.id).status is CallStatus.ANSWERED
    one.clock.advance(15)
    one.deadlines.sweep()
    assert one.calls.get(call.id).end_reason is EndReason.CONNECTION_LOST


def test_phone_that_is_joined_meanwhile_is_not_ended_as_alone(
    nodes: tuple[Harness, Harness],
) -> None:
    one, other = nodes
    call = answered(one, 1)

    class Joined(Sessions):
        def lonely(self, before: int, call_id: str | None = None) -> list[str]:
            found = super().lonely(before, call_id)
            if call_id is None and found == [call.id]:
                who = Participant("p2", "Ann")
                _, ref = other.invite("room-1", who, None, None)
                other.start(ref, "websocket", "s1")
            return found

    one.clock.advance(30)
    services = one.services
    deadlines = SessionDeadlines(
        services.settings,
        one.steady,
        one.database,
        one.calls,
        one.stores.rooms,
        Joined(one.database),
        one.stores.dispatches,
        one.ending,
        one.serving,
    )
    deadlines.sweep()
    assert one.calls.get(call.id).status is CallStatus.ANSWERED


def test_agent_is_forsaken_once(nodes: tuple[Harness, Harness]) -> None:
    one, _ = nodes
    who = Participant("p1", "Ann")
    call, ref = one.invite("room-1", who, None, Assignment("agent_1", BASE))
    one.start(ref, "websocket", "s1")
    (dispatch,) = one.stores.dispatches.of_call(call.id)
    agent, agents_ref = one.invite("room-1", Participant("a1", "Agent"), None)
    assert one.stores.dispatches.ticketed(dispatch, agent.id)
    one.start(agents_ref, "websocket", "s1")
    one.ending.hang_up(one.calls.get(call.id), EndReason.CALLER_HUNG_UP, None)
    sweep_at_once(*nodes)
    ended = one.calls.get(agent.id)
    assert ended.end_reason is EndReason.ALONE
    assert events(ended).count(LadderEvent.END) == 1
