"""Storage obeys the table of transitions: every event on a stored call in every state, on SQLite.

An allowed event is written, with steps that have the statuses of the new state. Any other event
changes nothing, and neither does an event of a leg that may not cause it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import ColumnElement, select, update

from service.clock import Millis
from service.domain.call_state import CallState, state_of
from service.domain.call_transitions import (
    ANSWERED_PHASES,
    END_PHASES,
    TABLE,
    WAITING_PHASES,
    Actor,
    Event,
    Part,
    Phase,
    Trigger,
)
from service.domain.calls import (
    Call,
    CallStatus,
    EndReason,
    LadderEvent,
    LadderStep,
    Participant,
    Transfer,
)
from service.domain.ids import new_ref
from service.errors import Conflict, Gone
from service.storage.calls import media_references
from service.storage.calls.calls import Calls
from service.storage.calls.phases import in_phase, permits
from service.storage.calls.pins import Pins
from service.storage.calls.rows import advance
from service.storage.calls.steering import StoredSteering
from service.storage.database import Database
from service.storage.tables import calls, refs
from tests.support.orphans import orphaned
from tests.support.records import a_call

NOW: Millis = 5_000
LATER: Millis = 99_000
NUMBER = "+14155550123"
NOBODY = Participant("p2", "Somebody", {})

SWITCHES: tuple[Part, ...] = (
    None,
    CallStatus.SWITCH_ROOM_INITIATED,
    CallStatus.SWITCH_ROOM_COMPLETED,
)
TRANSFERS: tuple[Part, ...] = (
    None,
    CallStatus.TRANSFER_INITIATED,
    CallStatus.TRANSFERRING,
    CallStatus.TRANSFER_FAILED,
)
STATES = [
    *map(CallState, (*WAITING_PHASES, *END_PHASES)),
    *(CallState(*each) for each in itertools.product(ANSWERED_PHASES, SWITCHES, TRANSFERS)),
]

DIALLED = LadderStep(LadderEvent.TRANSFER, NOW, CallStatus.TRANSFERRING)


class Stored:
    """One call for each state, held by the leg ``A`` unless its caller is asked for a PIN."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.calls = Calls(database)
        self.steering = StoredSteering(database)
        self.pins = Pins(database)
        with database.together():
            self.by_state = {state: self._add(state) for state in STATES}

    def _add(self, state: CallState) -> Call:
        phase = state.phase
        steps = () if state.switch is None else (LadderStep(LadderEvent.MOVED, 2, state.switch),)
        call = a_call(
            status=state.status,
            pin_tries=1 if phase is Phase.ASKED else 0,
            leg_id=None if phase is Phase.ASKED else "A",
            detached_at=3_000 if phase is Phase.DETACHED else None,
            steps=steps,
        )
        self.calls.add(call)
        if state.transfer is not None:
            with self._database.write() as connection:
                transfer = Transfer(NUMBER, state.transfer)
                call = advance(connection, call, [], transfer=transfer)
        return call

    def ids(self, condition: ColumnElement[bool]) -> set[str]:
        with self._database.read() as connection:
            return set(connection.scalars(select(calls.c.id).where(condition)))

    def reference(self, call: Call, leg_id: str | None = None) -> str:
        """Issue a reference without asking the table; with ``leg_id``, it has let that leg in."""
        ref_digest = new_ref()
        with self._database.write() as connection:
            media_references.issue(connection, ref_digest, call.id, LATER)
            if leg_id is not None:
                let_in = update(refs).where(refs.c.digest == ref_digest)
                connection.execute(let_in.values(claimed_at=NOW, leg_id=leg_id))
        return ref_digest

    # Events, each as the use cases cause it.

    def admit(self, call: Call) -> None:
        self.calls.admit(a_call(provider_call_id=call.provider_call_id), None, 1_000)

    def let_in(self, call: Call, leg_id: str) -> None:
        self.calls.claim(self.reference(call), call.provider, leg_id, NOW)

    def start(self, call: Call, leg_id: str) -> None:
        self.reference(call, "B")
        self.calls.answered(call.id, leg_id, "s2", NOW)

    def progress(self, call: Call, leg_id: str) -> None:
        self.calls.step(call.id, leg_id, LadderEvent.FIRST_AUDIO_IN, NOW)

    def lose(self, call: Call, leg_id: str) -> None:
        self.reference(call, "A")
        self.calls.detached(call.id, leg_id, NOW, None, None)

    def arrive(self, call: Call, leg_id: str) -> None:
        room_id, who = call.room_id or "", call.participant.id
        self.steering.arrived(call.id, leg_id, room_id, who, "s2", NOW)


def answer(call: Call) -> LadderStep:
    """The step of an answer to the question for the PIN."""
    return LadderStep(LadderEvent.PIN, NOW, call.status)


VERIFIED = LadderStep(LadderEvent.VERIFIED, NOW, CallStatus.VERIFIED)

LEGS: Mapping[Event, Callable[[Stored, Call, str], object]] = {
    Trigger.SOCKET_LET_IN: Stored.let_in,
    Trigger.STREAM_STARTED: Stored.start,
    Trigger.STREAM_PROGRESS: Stored.progress,
    Trigger.SOCKET_LOST: Stored.lose,
    Trigger.ARRIVED: Stored.arrive,
}

OTHERS: Mapping[Event, Callable[[Stored, Call], object]] = {
    Trigger.ADMITTED: Stored.admit,
    Trigger.REFUSED: lambda stored, call: stored.pins.rejected(
        call.id, call.pin_tries, EndReason.NO_PIN, NOW, answer(call)
    ),
    Trigger.PIN_ASKED: lambda stored, call: stored.pins.asked(
        call.id, call.pin_tries, LATER, answer(call)
    ),
    Trigger.PIN_ACCEPTED: lambda stored, call: stored.pins.verified(
        call.id, call.pin_tries, "room", new_ref(), LATER, lambda place: [VERIFIED]
    ),
    Trigger.RINGING: lambda stored, call: stored.steering.ringing(call.id, NOW),
    Trigger.REFERENCE_ISSUED: lambda stored, call: stored.calls.reissue(
        call.id, new_ref(), LATER, lambda place: ()
    ),
    Trigger.SOCKET_FOUND: lambda stored, call: stored.calls.reattached(call.id, "A"),
    Trigger.MOVE_REQUESTED: lambda stored, call: stored.steering.move(
        call.id, "room-2", NOBODY, NOW
    ),
    Trigger.TRANSFER_REQUESTED: lambda stored, call: stored.steering.begin_transfer(
        call.id, NUMBER, NOW, 1_000
    ),
    Trigger.DIALLED: lambda stored, call: stored.steering.dialling(call.id, NUMBER, DIALLED),
    Trigger.DIAL_FAILED: lambda stored, call: stored.steering.transfer_failed(call.id, "busy", NOW),
}


def cause(stored: Stored, event: Event, call: Call) -> None:
    """Let an event happen to a call, and ignore a refusal."""
    with suppress(Conflict, Gone):
        if isinstance(event, EndReason):
            stored.calls.end(call.id, event, NOW)
        elif event in LEGS:
            LEGS[event](stored, call, "B" if Actor.NEW_LEG in TABLE[event].by else "A")
        else:
            OTHERS[event](stored, call)


@pytest.fixture
def stored(sqlite_database: Database) -> Stored:
    return Stored(sqlite_database)


def assert_follows(event: Event, state: CallState, before: Call, after: Call) -> None:
    expected = state.after(event)
    if expected is None:
        assert after == before, state
        return
    assert after != before, state
    assert state_of(after) == expected
    words = {step.status for step in after.steps[len(before.steps) :]}
    assert words <= {expected.status, expected.switch, expected.transfer, before.status}


# A placed call is new: its id is made for it, so that no stored call can be placed.
@pytest.mark.parametrize("event", [*LEGS, *OTHERS, *EndReason], ids=lambda event: str(event.value))
def test_an_event_has_the_tables_result_on_a_stored_call(stored: Stored, event: Event) -> None:
    for state, call in stored.by_state.items():
        cause(stored, event, call)
        assert_follows(event, state, call, stored.calls.get(call.id))


def test_a_restart_has_the_tables_result_on_each_stored_call(stored: Stored) -> None:
    orphaned(stored.calls, NOW)
    for state, call in stored.by_state.items():
        after = stored.calls.get(call.id)
        assert_follows(Trigger.PROCESS_RESTARTED, state, call, after)


@pytest.mark.parametrize("phase", [*Phase][1:], ids=lambda phase: str(phase.value))
def test_the_condition_of_a_phase_selects_the_calls_in_it(stored: Stored, phase: Phase) -> None:
    wanted = {call.id for state, call in stored.by_state.items() if state.phase is phase}
    assert stored.ids(in_phase(phase)) == wanted


@pytest.mark.parametrize("trigger", Trigger, ids=lambda trigger: str(trigger.value))
def test_the_condition_of_an_event_selects_the_calls_that_it_may_happen_to(
    stored: Stored, trigger: Trigger
) -> None:
    row = TABLE[trigger]
    if row.switch or row.transfer:
        with pytest.raises(ValueError, match="more than the phase"):
            permits(trigger)
        return
    wanted = {call.id for state, call in stored.by_state.items() if state.after(trigger)}
    assert stored.ids(permits(trigger)) == wanted


def test_each_trigger_is_tried_on_stored_calls() -> None:
    assert {*LEGS, *OTHERS} == {*Trigger} - {Trigger.PLACED, Trigger.PROCESS_RESTARTED}
    assert {*LEGS} == {each for each in Trigger if TABLE[each].by <= {Actor.LEG, Actor.NEW_LEG}}


# A socket that is let in is a leg of its own: it needs only its reference.
@pytest.mark.parametrize(
    "event",
    [each for each in LEGS if each is not Trigger.SOCKET_LET_IN],
    ids=lambda event: str(event.value),
)
def test_an_event_of_a_leg_that_may_not_cause_it_changes_nothing(
    stored: Stored, event: Trigger
) -> None:
    for call in stored.by_state.values():
        LEGS[event](stored, call, "another")
        assert stored.calls.get(call.id) == call


@pytest.mark.parametrize(
    ("event", "fields"),
    [
        (Trigger.ADMITTED, {}),
        (Trigger.PIN_ASKED, {"pin_tries": 1}),
        (Trigger.PLACED, {"status": CallStatus.INITIATED}),
    ],
    ids=["admitted", "PIN asked", "placed"],
)
def test_a_new_call_begins_in_the_state_of_its_event(
    sqlite_database: Database, event: Trigger, fields: dict[str, Any]
) -> None:
    call = a_call(**fields)
    if event is Trigger.PLACED:
        assert StoredSteering(sqlite_database).place_call(call, 1, 1)
    else:
        assert Calls(sqlite_database).admit(call, None, 1)
    stored = Calls(sqlite_database).get(call.id)
    assert state_of(stored) == CallState(Phase.NEW).after(event)


@pytest.mark.parametrize("status", [each for each in CallStatus if each.is_live or each.is_end])
def test_a_new_call_begins_in_no_other_state(sqlite_database: Database, status: CallStatus) -> None:
    call = a_call(status=status)
    calls, steering = Calls(sqlite_database), StoredSteering(sqlite_database)
    if status is not CallStatus.INCOMING:
        with pytest.raises(ValueError, match="does not begin"):
            calls.admit(call, None, 1)
    if status is not CallStatus.INITIATED:
        with pytest.raises(ValueError, match="does not begin"):
            steering.place_call(call, 1, 1)
    assert calls.page().total == 0
