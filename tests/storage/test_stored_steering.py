"""Steering of stored calls, on both kinds of database."""

from __future__ import annotations

from dataclasses import replace

import pytest

from service.domain.calls import Call, CallStatus, Direction, EndReason, LadderEvent, LadderStep
from service.errors import Conflict, NotFound
from service.storage.calls.calls import Calls
from service.storage.calls.notes import MAX_NOTES
from service.storage.calls.steering import StoredSteering
from service.storage.database import Database
from tests.support.races import at_once
from tests.support.records import a_call


@pytest.fixture
def store(database: Database) -> Calls:
    return Calls(database)


@pytest.fixture
def steering(database: Database) -> StoredSteering:
    return StoredSteering(database)


def up(store: Calls, **changes: object) -> Call:
    call = a_call(status=CallStatus.ANSWERED, leg_id="leg", session_id="s1", **changes)
    store.add(call)
    return call


def to_place(**changes: object) -> Call:
    call = a_call(
        direction=Direction.OUTBOUND, status=CallStatus.INITIATED, attempts=0, steps=(), **changes
    )
    return replace(call, provider_call_id=call.id)


DIALLING = LadderStep(LadderEvent.TRANSFER, 70, CallStatus.TRANSFERRING, markup="<Response/>")


def test_unknown_calls_cannot_be_steered(steering: StoredSteering) -> None:
    call = a_call()
    with pytest.raises(NotFound):
        steering.move("none", "room-2", call.participant, 1)
    with pytest.raises(NotFound):
        steering.begin_transfer("none", "+14155550123", 1, 10)
    assert not steering.dialling("none", "+14155550123", DIALLING)
    assert steering.transfer_failed("none", "busy", 1) is None
    assert steering.bind("none", "CA1", firm=True) is None
    assert not steering.ringing("none", 1)
    assert not steering.note("none", "words", 1)


def test_an_arrival_counts_only_for_the_leg_that_holds_the_call(
    store: Calls, steering: StoredSteering
) -> None:
    call = up(store)
    steering.move(call.id, "room-2", call.participant, 5)
    assert steering.arrived(call.id, "thief", "room-2", call.participant.id, "s9", 6) is None
    assert store.get(call.id).is_moving
    arrived = steering.arrived(call.id, "leg", "room-2", call.participant.id, "s2", 7)
    assert arrived == store.get(call.id)
    assert arrived is not None
    assert (arrived.session_id, arrived.is_moving) == ("s2", False)


def test_simultaneous_moves_are_all_written_and_the_last_one_holds(
    store: Calls, steering: StoredSteering
) -> None:
    call = up(store)
    moved = at_once(
        8, lambda index: steering.move(call.id, f"room-{index}", call.participant, index)
    )
    assert all(isinstance(each, Call) for each in moved)
    steps = [step for step in store.get(call.id).steps if step.event is LadderEvent.MOVED]
    assert len(steps) == 8
    assert store.get(call.id).room_id == steps[-1].detail


def test_one_of_many_simultaneous_transfers_begins(store: Calls, steering: StoredSteering) -> None:
    call = up(store)
    outcomes = at_once(
        8, lambda index: steering.begin_transfer(call.id, f"+1415555010{index}", index, 10)
    )
    assert sum(isinstance(outcome, Call) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, Conflict) for outcome in outcomes) == 7


def test_only_the_number_of_the_transfer_is_dialled(store: Calls, steering: StoredSteering) -> None:
    call = up(store)
    steering.begin_transfer(call.id, "+14155550123", 60, 10)
    assert not steering.dialling(call.id, "+14155550124", DIALLING)
    assert steering.dialling(call.id, "+14155550123", DIALLING)
    assert steering.dialling(call.id, "+14155550123", replace(DIALLING, at=80))
    dialled = store.get(call.id)
    assert dialled.steps[-1] == DIALLING
    assert dialled.attempts == 2
    steering.transfer_failed(call.id, "busy", 90)
    assert not steering.dialling(call.id, "+14155550123", DIALLING)


def test_simultaneously_placed_calls_stay_within_the_limit(
    store: Calls, steering: StoredSteering
) -> None:
    outcomes = at_once(8, lambda _: steering.place_call(to_place(), 3, 10))
    assert sorted(outcomes) == [False] * 5 + [True] * 3
    assert store.live() == 3


def test_a_provider_call_id_from_a_webhook_replaces_one_from_the_rest_api(
    store: Calls, steering: StoredSteering
) -> None:
    call = to_place()
    assert steering.place_call(call, 10, 10)
    assert steering.bind(call.id, "promised", firm=False)
    assert steering.bind(call.id, "another promise", firm=False)
    assert store.get(call.id).provider_call_id == "promised"
    assert steering.bind(call.id, "real", firm=True)
    assert steering.bind(call.id, "promised", firm=False)
    assert store.get(call.id).provider_call_id == "real"


def test_the_provider_id_of_another_call_is_refused(store: Calls, steering: StoredSteering) -> None:
    known = up(store)
    call = to_place(connector_id=known.connector_id)
    assert steering.place_call(call, 10, 10)
    assert steering.bind(call.id, known.provider_call_id, firm=True) is None
    assert store.get(call.id) == call


def test_only_an_initiated_call_begins_to_ring(store: Calls, steering: StoredSteering) -> None:
    call = to_place()
    assert steering.place_call(call, 10, 10)
    assert steering.ringing(call.id, 5)
    assert not steering.ringing(call.id, 6)
    assert store.get(call.id).status is CallStatus.RINGING
    store.end(call.id, EndReason.CALLEE_BUSY, 7)
    assert not steering.ringing(call.id, 8)
    assert not steering.ringing(up(store).id, 9)


def test_notes_are_written_once_each_and_bounded(store: Calls, steering: StoredSteering) -> None:
    call = up(store)
    outcomes = at_once(8, lambda _: steering.note(call.id, "the same", 1))
    assert sorted(outcomes) == [False] * 7 + [True]
    for number in range(MAX_NOTES + 5):
        steering.note(call.id, f"note {number}", 2)
    notes = [step for step in store.get(call.id).steps if step.event is LadderEvent.PROVIDER]
    assert len(notes) == MAX_NOTES


def test_the_end_of_a_call_ends_its_transfer(store: Calls, steering: StoredSteering) -> None:
    for reason, status in (
        (EndReason.TRANSFERRED, CallStatus.TRANSFERRED),
        (EndReason.CALLER_HUNG_UP, CallStatus.TRANSFER_FAILED),
    ):
        call = up(store)
        steering.begin_transfer(call.id, "+14155550123", 5, 10)
        ended = store.end(call.id, reason, 6)
        assert ended == store.get(call.id)
        assert ended is not None
        assert ended.transfer is not None
        assert ended.transfer.status is status
        assert [step.status for step in ended.steps[-2:]] == [status, CallStatus.ENDED]
