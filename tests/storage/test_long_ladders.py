"""Ladders of bounded length, and their events: a call that is moved all day."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import func, insert, select

from service.domain.calls import CallStatus, EndReason, LadderEvent
from service.domain.ladders import FIRST, MOST, NEWEST
from service.storage.calls.calls import Calls
from service.storage.calls.notes import MAX_NOTES
from service.storage.calls.steering import StoredSteering
from service.storage.database import Database
from service.storage.tables import deliveries, steps, subscriptions
from tests.support.records import a_call
from tests.support.statements import said

LEG = "leg"


class MovedCall:
    """An answered call that is moved from room to room."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.calls = Calls(database)
        self.steering = StoredSteering(database)
        call = a_call()
        self.id = call.id
        self.steps = 4
        assert self.calls.admit(call, "ref", 100)
        self.calls.claim("ref", call.provider, LEG, 2_000)
        assert self.calls.answered(call.id, LEG, "s0", 2_001)

    def move(self, number: int) -> None:
        call = self.calls.get(self.id)
        room, at = f"room-{number}", 10_000 + 10 * number
        assert self.steering.move(self.id, room, call.participant, at).is_moving
        where = room, call.participant.id, f"s{number}"
        arrived = self.steering.arrived(self.id, LEG, *where, at + 5)
        assert arrived is not None
        assert not arrived.is_moving
        assert arrived == self.calls.get(self.id)
        self.steps += 2

    def lengthen(self) -> None:
        """Add steps until the ladder is almost as long as it may become, as many moves would."""
        count = MOST - 10 - self.steps
        row = {"call_id": self.id, "event": LadderEvent.OVERRUN, "status": CallStatus.ANSWERED}
        with self.database.write() as connection:
            connection.execute(insert(steps), [{**row, "at": 5_000 + n} for n in range(count)])
        self.steps += count

    def stored(self) -> int:
        with self.database.read() as connection:
            query = select(func.count()).select_from(steps).where(steps.c.call_id == self.id)
            return connection.execute(query).scalar_one()


@pytest.fixture
def moved_call(database: Database) -> MovedCall:
    return MovedCall(database)


def test_a_long_ladder_keeps_its_first_and_newest_steps(moved_call: MovedCall) -> None:
    before = moved_call.calls.get(moved_call.id).steps
    moved_call.lengthen()
    for number in range(1, 19):
        moved_call.move(number)
        assert moved_call.stored() <= MOST
    ladder = moved_call.calls.get(moved_call.id).steps
    assert ladder[: len(before)] == before
    assert ladder[-1].detail == "room-18"
    left_out = [step for step in ladder if step.event is LadderEvent.OMITTED]
    assert [ladder.index(step) for step in left_out] == [FIRST]
    count = moved_call.steps - (len(ladder) - 1)
    assert left_out[0].detail == f"{count} rungs were left out"
    assert len(ladder) > NEWEST
    # The steps that are kept are in order.
    assert [step.at for step in ladder] == sorted(step.at for step in ladder)


def test_a_move_costs_the_same_however_often_a_call_was_moved(moved_call: MovedCall) -> None:
    counts = []
    for number in range(1, 19):
        with said() as statements:
            moved_call.move(number)
        counts.append(len(statements))
        if number == 1:
            moved_call.lengthen()
    # A ladder is shortened now and then, by three statements.
    assert min(counts[-15:]) == counts[0]
    assert max(counts) == counts[0] + 3


def test_events_have_the_new_steps_and_the_last_one_the_whole_ladder(
    moved_call: MovedCall, database: Database
) -> None:
    names = ["switch-room-initiated", "switch-room-completed", "call-hangup"]
    with database.write() as connection:
        connection.execute(
            insert(subscriptions).values(
                id="wh", url="https://example.com", events=names, created_at=1, updated_at=1
            )
        )
    moved_call.lengthen()
    for number in range(1, 19):
        moved_call.move(number)
    moved_call.calls.end(moved_call.id, EndReason.CALLER_HUNG_UP, 90_000)
    with database.read() as connection:
        bodies = connection.scalars(select(deliveries.c.body).order_by(deliveries.c.seq)).all()
    told = [json.loads(body)["data"]["timelog"] for body in bodies]
    assert [[step["status"] for step in each] for each in told[:-1]] == [names[:1], names[1:2]] * 18
    whole = moved_call.calls.get(moved_call.id).steps
    assert [step["event"] for step in told[-1]] == [step.event for step in whole]
    assert sum(map(len, bodies)) < 75_000


def test_repeated_overruns_do_not_lengthen_a_ladder(moved_call: MovedCall) -> None:
    moved_call.lengthen()
    for number in range(30):
        moved_call.calls.step(moved_call.id, LEG, LadderEvent.OVERRUN, 3_000 + number, "too fast")
    assert moved_call.stored() <= MOST


def test_a_report_loads_no_ladder(moved_call: MovedCall) -> None:
    with said() as statements:
        assert moved_call.calls.step(moved_call.id, LEG, LadderEvent.FIRST_AUDIO_IN, 3_000)
    assert not [each for each in statements if each.startswith("SELECT") and "FROM steps" in each]


def test_a_providers_notes_are_bounded(moved_call: MovedCall) -> None:
    notes = [moved_call.steering.note(moved_call.id, f"note {n}", 3_000) for n in range(30)]
    assert notes == [True] * MAX_NOTES + [False] * 10
    assert not moved_call.steering.note(moved_call.id, "note 0", 3_001)
