"""Dispatches and their changes by the calls around them, on both kinds of database."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import select

from service.domain.agents import Assignment, Dispatch, DispatchStatus
from service.domain.calls import WEBSOCKET, Call, CallStatus, EndReason, LadderEvent
from service.domain.ids import new_call_id
from service.domain.rooms import Room
from service.storage.agents.dispatches import Dispatches
from service.storage.calls.calls import Calls
from service.storage.change_signals import ChangeSignal
from service.storage.database import Database
from service.storage.rooms.rooms import Rooms
from service.storage.tables import deliveries
from tests.support.orphans import orphaned
from tests.support.races import at_once
from tests.support.records import a_call

BASE = "https://voice.example.com"
AGENT = Assignment("agent_1", BASE, {"team": "support"})


class DispatchedCalls:
    """Calls and dispatches of one database, and helpers that change them."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.calls = Calls(database)
        self.dispatches = Dispatches(database)

    def admit(self, **changes: Any) -> Call:
        call = a_call(**changes)
        assert self.calls.admit(call, f"ref-{call.id}", 100)
        return call

    def answer(self, call: Call, at: int = 5_000) -> Call:
        """Let the call claim its reference and start."""
        leg_id, ref = new_call_id(), new_call_id()
        assert self.calls.reissue(call.id, ref, at + 90_000, lambda place: [])
        self.calls.claim(ref, call.provider, leg_id, at)
        answered = self.calls.answered(call.id, leg_id, "s1", at)
        assert answered is not None
        return answered

    def phone(self, **changes: Any) -> tuple[Call, Dispatch]:
        """Return an answered call, and its dispatch."""
        call = self.answer(self.admit(**{"agent": AGENT, **changes}))
        return call, self.of(call)

    def of(self, call: Call) -> Dispatch:
        return self.dispatches.of_call(call.id)[-1]

    def ticket(self, room_id: str = "abcd-efgh-ijkl") -> Call:
        call_id = new_call_id()
        return self.admit(
            id=call_id,
            provider=WEBSOCKET,
            provider_call_id=call_id,
            connector_id=None,
            room_id=room_id,
        )

    def attempt(self, dispatch: Dispatch, room_id: str = "abcd-efgh-ijkl") -> tuple[Dispatch, Call]:
        """Return the dispatch with a new ticket."""
        ticket = self.ticket(room_id)
        ticketed = self.dispatches.ticketed(dispatch, ticket.id)
        assert ticketed is not None
        return ticketed, ticket

    def end(self, call: Call, at: int = 9_000) -> None:
        assert self.calls.end(call.id, EndReason.CALLER_HUNG_UP, at)

    def watch(self, *patterns: str) -> None:
        """Give the room a webhook for these events."""
        room = Room(
            id="abcd-efgh-ijkl",
            object_id="0" * 24,
            created_at=1_000,
            updated_at=1_000,
            webhook={"endPoint": "https://example.com/room", "events": list(patterns)},
        )
        Rooms(self.database).create(room)

    def told(self) -> list[tuple[str, dict[str, Any]]]:
        """Return the events for the room's webhook, with their data."""
        with self.database.read() as connection:
            rows = connection.execute(select(deliveries).order_by(deliveries.c.seq)).all()
        return [(row.event, json.loads(row.body)["data"]) for row in rows]

    def agent_steps(self, call: Call) -> list[str | None]:
        steps = self.calls.get(call.id).steps
        return [step.detail for step in steps if step.event is LadderEvent.AGENT]


@pytest.fixture
def store(database: Database) -> DispatchedCalls:
    return DispatchedCalls(database)


def test_the_agent_is_dispatched_when_its_call_is_answered(store: DispatchedCalls) -> None:
    signal = store.database.signals[ChangeSignal.DISPATCHES]
    call = store.admit(agent=AGENT)
    signal.clear()
    assert store.dispatches.of_call(call.id) == ()
    store.answer(call, 5_000)
    dispatch = store.of(call)
    assert dispatch == Dispatch(
        id=dispatch.id,
        agent_id="agent_1",
        call_id=call.id,
        room_id="abcd-efgh-ijkl",
        base=BASE,
        metadata={"team": "support"},
        status=DispatchStatus.PENDING,
        attempts=0,
        due_at=5_000,
        created_at=5_000,
    )
    assert signal.is_set()
    (step,) = (s for s in store.calls.get(call.id).steps if s.event is LadderEvent.AGENT)
    assert (step.at, step.status, step.detail) == (
        5_000,
        CallStatus.ANSWERED,
        "agent agent_1 was sent for",
    )


def test_a_call_without_an_agent_dispatches_none(store: DispatchedCalls) -> None:
    call = store.answer(store.admit())
    assert store.dispatches.of_call(call.id) == ()
    assert store.dispatches.next_due() is None


@pytest.mark.parametrize("state", ["pending", "sent", "joined"])
def test_a_reattached_call_keeps_the_agent_that_is_under_way(
    store: DispatchedCalls, state: str
) -> None:
    call, dispatch = store.phone()
    if state != "pending":
        dispatch, ticket = store.attempt(dispatch)
        assert store.dispatches.sent(dispatch, 20_000)
    if state == "joined":
        store.answer(ticket)
    store.answer(call, 8_000)
    assert [each.status for each in store.dispatches.of_call(call.id)] == [state]


@pytest.mark.parametrize("state", ["left", "failed"])
def test_a_reattached_call_dispatches_an_agent_that_left_again(
    store: DispatchedCalls, state: str
) -> None:
    call, dispatch = store.phone()
    if state == "left":
        _, ticket = store.attempt(dispatch)
        store.answer(ticket)
        store.end(ticket)
    else:
        assert store.dispatches.missed(dispatch, "did not come", 6_000, None)
    store.answer(call, 8_000)
    found = [(each.status, each.due_at) for each in store.dispatches.of_call(call.id)]
    assert found == [(state, None), ("pending", 8_000)]


def test_an_agent_joins_and_leaves_with_the_call_of_its_ticket(
    store: DispatchedCalls,
) -> None:
    call, dispatch = store.phone()
    dispatch, ticket = store.attempt(dispatch)
    assert store.dispatches.sent(dispatch, 20_000)
    store.answer(ticket, 6_000)
    joined = store.of(call)
    assert (joined.status, joined.due_at, joined.ticket_id) == ("joined", None, ticket.id)
    store.end(ticket)
    assert store.of(call).status is DispatchStatus.LEFT
    assert store.agent_steps(call) == [
        "agent agent_1 was sent for",
        "agent agent_1 joined",
        "agent agent_1 left",
    ]


def test_an_agent_that_leaves_after_its_call_is_not_on_the_ladder(
    store: DispatchedCalls,
) -> None:
    call, dispatch = store.phone()
    _, ticket = store.attempt(dispatch)
    store.answer(ticket)
    store.end(call)
    store.end(ticket)
    assert store.of(call).status is DispatchStatus.LEFT
    assert store.calls.get(call.id).steps[-1].event is LadderEvent.END


def test_an_agent_may_join_before_its_response(store: DispatchedCalls) -> None:
    call, dispatch = store.phone()
    dispatch, ticket = store.attempt(dispatch)
    store.answer(ticket)
    assert store.dispatches.sent(dispatch, 20_000) is None
    assert store.dispatches.missed(dispatch, "answered 500", 7_000, None) is None
    assert store.of(call).status is DispatchStatus.JOINED


def test_due_dispatches_are_taken_once_and_in_order(store: DispatchedCalls) -> None:
    second = store.of(store.answer(store.admit(agent=AGENT), 6_000))
    first = store.of(store.answer(store.admit(agent=AGENT), 5_000))
    assert store.dispatches.next_due() == 5_000
    assert store.dispatches.take(4_999, 10_000) is None
    taken = [store.dispatches.take(6_000, 10_000) for _ in range(3)]
    assert [each and each.id for each in taken] == [first.id, second.id, None]
    assert store.dispatches.next_due() == 10_000
    assert store.dispatches.take(10_000, 20_000) is not None


def test_one_of_many_simultaneous_takers_gets_a_dispatch(store: DispatchedCalls) -> None:
    store.phone()
    taken = at_once(8, lambda _: store.dispatches.take(5_000, 10_000))
    assert sorted(isinstance(each, Dispatch) for each in taken) == [False] * 7 + [True]
    assert not [each for each in taken if isinstance(each, Exception)]


@pytest.mark.parametrize("has_ticket", [True, False])
def test_one_of_several_nodes_that_note_the_same_failure_counts(
    store: DispatchedCalls, has_ticket: bool
) -> None:
    call, dispatch = store.phone()
    if has_ticket:
        dispatch, _ = store.attempt(dispatch)
        assert store.dispatches.sent(dispatch, 6_000)
        (dispatch,) = store.dispatches.overdue(6_000)
    missed = at_once(4, lambda _: store.dispatches.missed(dispatch, "was late", 6_000, 7_000))
    assert len([each for each in missed if isinstance(each, Dispatch)]) == 1
    assert not [each for each in missed if isinstance(each, Exception)]
    assert (store.of(call).attempts, store.of(call).due_at) == (1, 7_000)
    assert store.agent_steps(call)[1:] == ["agent agent_1 was late, and is sent for again"]


def test_one_of_a_simultaneous_join_and_deadline_counts(store: DispatchedCalls) -> None:
    call, dispatch = store.phone()
    dispatch, ticket = store.attempt(dispatch)
    assert store.dispatches.sent(dispatch, 6_000)
    missed, answered = at_once(
        2,
        lambda turn: (
            store.answer(ticket, 6_000)
            if turn
            else store.dispatches.missed(store.of(call), "did not join", 6_000, None)
        ),
    )
    assert isinstance(answered, Call)
    assert store.of(call).status == ("failed" if isinstance(missed, Dispatch) else "joined")


def test_a_missed_attempt_is_repeated_with_a_new_ticket_or_final(
    store: DispatchedCalls,
) -> None:
    call, dispatch = store.phone()
    dispatch, old = store.attempt(dispatch)
    missed = store.dispatches.missed(dispatch, "answered 500", 6_000, 7_000)
    assert missed is not None
    assert (missed.status, missed.attempts, missed.due_at) == ("pending", 1, 7_000)
    assert (missed.ticket_id, missed.detail) == (None, "answered 500")
    # The old ticket no longer counts as the agent's.
    store.answer(old)
    assert store.of(call).status is DispatchStatus.PENDING
    assert store.dispatches.missed(dispatch, "late", 6_500, None) is None
    retried, _ = store.attempt(missed)
    assert store.dispatches.missed(retried, "did not join", 8_000, None)
    failed = store.of(call)
    assert (failed.status, failed.attempts, failed.due_at) == ("failed", 2, None)
    assert store.dispatches.next_due() is None
    assert store.agent_steps(call) == [
        "agent agent_1 was sent for",
        "agent agent_1 answered 500, and is sent for again",
        "agent agent_1 did not join",
    ]


def test_an_agent_that_accepts_and_does_not_join_in_time_is_overdue(
    store: DispatchedCalls,
) -> None:
    _, dispatch = store.phone()
    dispatch, _ = store.attempt(dispatch)
    assert store.dispatches.sent(dispatch, 20_000)
    assert store.dispatches.overdue(19_999) == ()
    (found,) = store.dispatches.overdue(20_000)
    assert (found.id, found.status) == (dispatch.id, DispatchStatus.SENT)


def test_a_ticket_that_ends_before_the_join_is_overdue_at_once(store: DispatchedCalls) -> None:
    _, dispatch = store.phone()
    dispatch, ticket = store.attempt(dispatch)
    assert store.dispatches.sent(dispatch, 20_000)
    store.database.signals[ChangeSignal.DISPATCHES].clear()
    store.end(ticket, 9_000)
    assert [each.id for each in store.dispatches.overdue(9_000)] == [dispatch.id]
    assert store.database.signals[ChangeSignal.DISPATCHES].is_set()


@pytest.mark.parametrize("joined", [True, False])
def test_a_lone_agent_whose_call_is_over_is_forsaken(store: DispatchedCalls, joined: bool) -> None:
    call, dispatch = store.phone()
    _, ticket = store.attempt(dispatch)
    if joined:
        store.answer(ticket)
    assert store.dispatches.forsaken() == []
    store.end(call)
    assert store.dispatches.forsaken() == [ticket.id]
    store.end(ticket)
    assert store.dispatches.forsaken() == []


def test_an_agent_stays_while_anyone_but_agents_is_present(store: DispatchedCalls) -> None:
    call, dispatch = store.phone()
    other, second = store.phone()
    _, ticket = store.attempt(dispatch)
    _, another = store.attempt(second)
    guest = store.ticket()
    elsewhere = store.ticket("another-room")
    store.end(call)
    store.end(other)
    assert store.dispatches.forsaken() == []
    store.end(guest)
    assert store.dispatches.forsaken() == [ticket.id, another.id]
    store.end(elsewhere)


def test_an_agent_dispatched_without_a_call_is_never_forsaken(store: DispatchedCalls) -> None:
    dispatch = Dispatch(
        id="dispatch_1",
        agent_id="agent_1",
        call_id=None,
        room_id="abcd-efgh-ijkl",
        base=BASE,
        metadata={},
        status=DispatchStatus.PENDING,
        attempts=0,
        due_at=5_000,
        created_at=1_000,
    )
    store.dispatches.add(dispatch)
    assert store.dispatches.get("dispatch_1") == dispatch
    _, ticket = store.attempt(dispatch)
    store.answer(ticket)
    assert store.dispatches.get("dispatch_1").status is DispatchStatus.JOINED
    assert store.dispatches.forsaken() == []


def test_a_custom_websocket_without_a_socket_is_lost_at_once(store: DispatchedCalls) -> None:
    phone, ticket = store.answer(store.admit()), store.answer(store.ticket())
    orphaned(store.calls, 10_000)
    assert [call.id for call in store.calls.lost(9_999)] == [ticket.id]
    assert [call.id for call in store.calls.lost(10_000)] == [phone.id, ticket.id]


def test_the_rooms_webhook_gets_the_events_of_its_agent(store: DispatchedCalls) -> None:
    store.watch("agent-session-*")
    call, dispatch = store.phone()
    dispatch, ticket = store.attempt(dispatch)
    store.answer(ticket)
    store.end(ticket)
    document = {
        "meetingId": "abcd-efgh-ijkl",
        "sessionId": "s1",
        "agentId": "agent_1",
        "jobId": dispatch.id,
        "callId": call.id,
    }
    there = {**document, "participantId": ticket.participant.id}
    assert store.told() == [
        ("agent-session-starting", document),
        ("agent-session-started", there),
        ("agent-session-stopped", there),
    ]


def test_the_rooms_webhook_gets_one_event_for_an_agent_that_does_not_join(
    store: DispatchedCalls,
) -> None:
    store.watch("agent-session-failed")
    call, dispatch = store.phone()
    again = store.dispatches.missed(dispatch, "answered 500", 6_000, 7_000)
    assert again is not None
    assert store.told() == []
    assert store.dispatches.missed(again, "answered 503", 8_000, None)
    assert store.told() == [
        (
            "agent-session-failed",
            {
                "meetingId": "abcd-efgh-ijkl",
                "sessionId": "s1",
                "agentId": "agent_1",
                "jobId": dispatch.id,
                "callId": call.id,
                "reason": "answered 503",
            },
        )
    ]
