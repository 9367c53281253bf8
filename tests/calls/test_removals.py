"""Removals: deactivated rooms, ended sessions, removed participants, and their deadlines."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from service.domain.calls import Call, CallStatus, EndReason, LadderEvent, Participant
from service.domain.rooms import AutoClose, AutoCloseType, Room, Session
from service.errors import Forbidden, NotFound
from service.media.rooms.reports import LegStarted
from service.storage.database import Database
from tests.support.clocks import FakeClock
from tests.support.harness import Harness, a_harness, events, ref_of, verbs
from tests.support.races import at_once
from tests.support.records import a_connector

ROOM = "abcd-efgh-ijkl"
UP = "in-progress"

Answer = Callable[..., Call]


@pytest.fixture
def harness(database: Database, clock: FakeClock) -> Iterator[Harness]:
    with a_harness(database, clock) as harness:
        yield harness


@pytest.fixture
def answer(harness: Harness) -> Answer:
    return answering(harness)


def answering(harness: Harness) -> Answer:
    """A function that has a phone call answered by the harness, or left on its way in."""
    connector = harness.connect(a_connector())

    def answer(number: int = 1, session_id: str = "s1", started: bool = True) -> Call:
        sid = f"CA{number:032}"
        ref = ref_of(harness.webhook(connector, CallSid=sid))
        if started:
            harness.start(ref, session_id=session_id)
        found = harness.calls.find(connector.id, sid)
        assert found is not None
        return found

    return answer


def invited(harness: Harness, name: str, room_id: str = ROOM) -> Call:
    call, ref = harness.invite(room_id, Participant(name, name.title()), None)
    harness.start(ref, "websocket")
    return call


def a_room(harness: Harness, **changes: Any) -> Room:
    return harness.stores.rooms.create(
        Room(id=ROOM, object_id="o", created_at=1, updated_at=1, **changes)
    )


def session(harness: Harness, session_id: str = "s1") -> Session:
    return harness.stores.sessions.get(session_id)


def ends(harness: Harness, *calls: Call) -> list[tuple[CallStatus, EndReason | None]]:
    found = [harness.calls.get(call.id) for call in calls]
    return [(call.status, call.end_reason) for call in found]


def sweep(harness: Harness) -> None:
    """One turn of the thread, deadlines included."""
    thread = harness.recorder_thread(queue.SimpleQueue())
    thread.start()
    thread.stop()


class TestDeactivate:
    def test_calls_inside_and_on_the_way_are_ended(self, harness: Harness, answer: Answer) -> None:
        phone, agent, coming = answer(1), invited(harness, "ann"), answer(2, started=False)
        room = harness.stores.rooms.get(ROOM)
        assert harness.removals.deactivate(room).disabled
        put_out = (CallStatus.ENDED, EndReason.ROOM_DEACTIVATED)
        assert ends(harness, phone, agent, coming) == [put_out] * 3
        assert session(harness).ended_at == harness.clock.now()

    def test_other_rooms_are_not_affected(self, harness: Harness, answer: Answer) -> None:
        elsewhere = invited(harness, "ann", "another-room")
        answer()
        harness.removals.deactivate(harness.stores.rooms.get(ROOM))
        assert ends(harness, elsewhere) == [(CallStatus.ANSWERED, None)]

    def test_later_call_is_rejected_with_the_reason_on_its_ladder(self, harness: Harness) -> None:
        harness.removals.deactivate(a_room(harness))
        connector = harness.connect(a_connector())
        assert verbs(harness.webhook(connector)) == ["Reject"]
        call = harness.call(connector)
        assert (call.status, call.end_reason) == (CallStatus.REJECTED, EndReason.ROOM_DEACTIVATED)
        assert call.steps[-1].detail == "room-deactivated"
        assert call.room_id == ROOM
        assert events(call) == [LadderEvent.WEBHOOK, LadderEvent.END]

    def test_caller_whose_socket_was_lost_is_hung_up_on_asking_again(
        self, harness: Harness
    ) -> None:
        connector = harness.connect(a_connector())
        leg_id = harness.start(ref_of(harness.webhook(connector)))
        harness.calls.detached(
            harness.call(connector).id, leg_id, harness.clock.now(), "gone", None
        )
        harness.removals.deactivate(harness.stores.rooms.get(ROOM))
        assert verbs(harness.webhook(connector, CallStatus=UP)) == ["Hangup"]

    def test_call_admitted_meanwhile_is_ended_when_it_starts(
        self, harness: Harness, answer: Answer
    ) -> None:
        call = answer(started=False)
        connector = harness.connect(a_connector())
        spec = harness.admission.claim("twilio", ref_of(harness.webhook(connector)))
        # As if it had got past the look at the room before the room was deactivated.
        harness.stores.rooms.deactivate(ROOM, harness.clock.now())
        harness.recorder.record(LegStarted(spec.call_id, spec.leg_id, "s1", harness.clock.now()))
        late = harness.calls.get(spec.call_id)
        assert (late.status, late.end_reason) == (CallStatus.ENDED, EndReason.ROOM_DEACTIVATED)
        assert session(harness).ended_at is not None
        assert harness.calls.get(call.id).status is CallStatus.INCOMING

    def test_simultaneous_joins_leave_no_call_inside(self, harness: Harness) -> None:
        connectors = [harness.connect(a_connector()) for _ in range(4)]
        specs = [
            harness.admission.claim("twilio", ref_of(harness.webhook(one))) for one in connectors
        ]
        room = harness.stores.rooms.get(ROOM)

        def act(index: int) -> None:
            if index == 4:
                harness.removals.deactivate(room)
            else:
                spec = specs[index]
                harness.recorder.record(
                    LegStarted(spec.call_id, spec.leg_id, "s1", harness.clock.now())
                )

        assert [outcome for outcome in at_once(5, act) if outcome is not None] == []
        assert harness.calls.live() == 0

    def test_no_ticket_is_made_for_it(self, harness: Harness) -> None:
        harness.removals.deactivate(a_room(harness))
        with pytest.raises(Forbidden, match="deactivated"):
            invited(harness, "ann")


class TestAllowed:
    def test_no_ticket_is_made_for_another_participant_id(self, harness: Harness) -> None:
        a_room(harness, allowed_participant_ids=("ann",))
        assert invited(harness, "ann").participant.id == "ann"
        with pytest.raises(Forbidden, match="this id"):
            invited(harness, "bob")

    def test_phone_call_is_rejected_because_its_id_is_new(self, harness: Harness) -> None:
        a_room(harness, allowed_participant_ids=("ann",))
        connector = harness.connect(a_connector())
        assert verbs(harness.webhook(connector)) == ["Reject"]
        assert harness.call(connector).end_reason is EndReason.PARTICIPANT_NOT_ALLOWED
        assert harness.call(connector).steps[-1].detail == "participant-not-allowed"


class TestEnd:
    def test_calls_of_all_participants_are_ended(self, harness: Harness, answer: Answer) -> None:
        phone, agent, coming = answer(1), invited(harness, "ann"), answer(2, started=False)
        ended = harness.removals.end(session(harness))
        assert ended.ended_at == harness.clock.now()
        put_out = (CallStatus.ENDED, EndReason.SESSION_ENDED)
        assert ends(harness, phone, agent) == [put_out] * 2
        assert ends(harness, coming) == [(CallStatus.INCOMING, None)]

    def test_ended_session_is_returned_unchanged(self, harness: Harness, answer: Answer) -> None:
        answer()
        first = harness.removals.end(session(harness))
        harness.clock.advance(5)
        assert harness.removals.end(first) == first

    def test_room_is_open_for_the_next_session(self, harness: Harness, answer: Answer) -> None:
        answer(1)
        harness.removals.end(session(harness))
        answer(2, "s2")
        assert session(harness, "s2").ended_at is None


class TestRemove:
    def test_only_the_call_of_the_participant_is_ended(
        self, harness: Harness, answer: Answer
    ) -> None:
        phone, agent = answer(), invited(harness, "ann")
        harness.removals.remove(session(harness), phone.participant.id)
        assert ends(harness, phone) == [(CallStatus.ENDED, EndReason.REMOVED)]
        assert ends(harness, agent) == [(CallStatus.ANSWERED, None)]
        assert session(harness).ended_at is None

    def test_absent_participant_is_not_found(self, harness: Harness, answer: Answer) -> None:
        phone = answer()
        invited(harness, "ann")
        harness.removals.remove(session(harness), phone.participant.id)
        for participant_id in ("nobody", phone.participant.id):
            with pytest.raises(NotFound):
                harness.removals.remove(session(harness), participant_id)


class TestAutoClose:
    def test_session_ends_after_the_minutes_of_its_room(
        self, harness: Harness, answer: Answer
    ) -> None:
        a_room(harness, auto_close=AutoClose(AutoCloseType.SESSION_ENDS, 2))
        phone, agent = answer(), invited(harness, "ann")
        harness.clock.advance(119.9)
        harness.session_deadlines.sweep()
        assert session(harness).ended_at is None
        harness.clock.advance(0.1)
        harness.session_deadlines.sweep()
        assert session(harness).ended_at == harness.clock.now()
        assert ends(harness, phone, agent) == [(CallStatus.ENDED, EndReason.SESSION_TIMEOUT)] * 2
        assert not harness.stores.rooms.get(ROOM).disabled

    def test_room_for_one_session_is_deactivated_with_it(
        self, harness: Harness, answer: Answer
    ) -> None:
        a_room(harness, auto_close=AutoClose(AutoCloseType.DEACTIVATE, 2))
        phone = answer()
        harness.clock.advance(120)
        harness.session_deadlines.sweep()
        assert ends(harness, phone) == [(CallStatus.ENDED, EndReason.SESSION_TIMEOUT)]
        assert harness.stores.rooms.get(ROOM).disabled

    def test_recorder_thread_keeps_the_deadline_across_a_restart(
        self, harness: Harness, answer: Answer
    ) -> None:
        a_room(harness, auto_close=AutoClose(AutoCloseType.SESSION_ENDS, 1))
        phone = answer()
        harness.clock.advance(60)
        sweep(harness)
        assert harness.calls.get(phone.id).status is CallStatus.ENDED


class TestAlone:
    @pytest.fixture
    def harness(self, database: Database, clock: FakeClock) -> Iterator[Harness]:
        with a_harness(database, clock, alone_seconds=30) as harness:
            yield harness

    def test_phone_that_is_alone_is_ended_after_the_time(
        self, harness: Harness, answer: Answer
    ) -> None:
        phone = answer()
        harness.clock.advance(29.9)
        harness.session_deadlines.sweep()
        assert ends(harness, phone) == [(CallStatus.ANSWERED, None)]
        harness.clock.advance(0.1)
        harness.session_deadlines.sweep()
        assert ends(harness, phone) == [(CallStatus.ENDED, EndReason.ALONE)]
        assert harness.calls.get(phone.id).steps[-1].detail == "alone"

    def test_time_alone_restarts_when_others_leave(self, harness: Harness, answer: Answer) -> None:
        phone = answer()
        harness.clock.advance(20)
        agent = invited(harness, "ann")
        harness.clock.advance(300)
        harness.session_deadlines.sweep()
        harness.ending.end(agent.id)
        harness.clock.advance(29.9)
        harness.session_deadlines.sweep()
        assert ends(harness, phone) == [(CallStatus.ANSWERED, None)]
        harness.clock.advance(0.1)
        harness.session_deadlines.sweep()
        assert ends(harness, phone) == [(CallStatus.ENDED, EndReason.ALONE)]

    def test_agent_may_be_alone(self, harness: Harness) -> None:
        agent = invited(harness, "ann")
        harness.clock.advance(3_600)
        harness.session_deadlines.sweep()
        assert ends(harness, agent) == [(CallStatus.ANSWERED, None)]

    def test_phone_may_be_alone_by_default(self, database: Database, clock: FakeClock) -> None:
        with a_harness(database, clock) as patient:
            phone = answering(patient)()
            clock.advance(3_600)
            patient.session_deadlines.sweep()
            assert ends(patient, phone) == [(CallStatus.ANSWERED, None)]


def test_new_participant_joins_the_session_of_detached_calls(
    harness: Harness, answer: Answer
) -> None:
    phone = answer(1, "s1")
    harness.restart()
    _, ref = harness.invite(ROOM, Participant("ann", "Ann"), None)
    assert harness.admission.claim("websocket", ref).session_id == "s1"
    harness.ending.end(phone.id)
    _, ref = harness.invite(ROOM, Participant("bob", "Bob"), None)
    assert harness.admission.claim("websocket", ref).session_id is None


def test_connector_may_name_its_room_by_custom_id(harness: Harness) -> None:
    room = harness.stores.rooms.create(
        Room(id=ROOM, object_id="o", created_at=1, updated_at=1, custom_id="support")
    )
    connector = harness.connect(a_connector(default_room_id="support"))
    harness.webhook(connector)
    assert harness.call(connector).room_id == room.id


def test_call_to_an_unknown_room_creates_it(harness: Harness) -> None:
    connector = harness.connect(a_connector(default_room_id="brand-new"))
    harness.webhook(connector)
    assert harness.call(connector).room_id == "brand-new"
    assert harness.stores.rooms.get("brand-new").created_at == harness.clock.now()
