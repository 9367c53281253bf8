"""Who must leave: rooms are deactivated, sessions end, people are removed, times are up."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from service.calls import removals
from service.calls.recorder import CallRecorder
from service.domain.calls import Call, CallStatus, EndReason, LadderEvent, Participant
from service.domain.rooms import AutoClose, AutoCloseType, Room, Session
from service.errors import Forbidden, NotFound
from service.media.rooms.reports import LegStarted
from service.storage.database import Database
from tests.support.clocks import FakeClock
from tests.support.races import at_once
from tests.support.records import a_connector
from tests.support.switchboards import Desk, a_desk, events, ref_of, verbs

ROOM = "abcd-efgh-ijkl"
UP = "in-progress"

Answer = Callable[..., Call]


@pytest.fixture
def desk(database: Database, clock: FakeClock) -> Iterator[Desk]:
    with a_desk(database, clock) as desk:
        yield desk


@pytest.fixture
def answer(desk: Desk) -> Answer:
    return answering(desk)


def answering(desk: Desk) -> Answer:
    """A function that has a phone call answered by the desk, or left on its way in."""
    connector = desk.connect(a_connector())

    def answer(number: int = 1, session_id: str = "s1", started: bool = True) -> Call:
        sid = f"CA{number:032}"
        ref = ref_of(desk.notify_after_commit(connector, CallSid=sid))
        if started:
            desk.start(ref, session_id=session_id)
        found = desk.calls.find(connector.id, sid)
        assert found is not None
        return found

    return answer


def invited(desk: Desk, name: str, room_id: str = ROOM) -> Call:
    call, ref = desk.switchboard.invite(room_id, Participant(name, name.title()), None)
    desk.start(ref, "websocket")
    return call


def a_room(desk: Desk, **changes: Any) -> Room:
    return desk.switchboard.rooms.create(
        Room(id=ROOM, object_id="o", created_at=1, updated_at=1, **changes)
    )


def session(desk: Desk, session_id: str = "s1") -> Session:
    return desk.switchboard.sessions.get(session_id)


def ends(desk: Desk, *calls: Call) -> list[tuple[CallStatus, EndReason | None]]:
    found = [desk.calls.get(call.id) for call in calls]
    return [(call.status, call.end_reason) for call in found]


def sweep(desk: Desk) -> None:
    """One turn of the ledger, deadlines included."""
    ledger = CallRecorder(desk.switchboard, queue.SimpleQueue())
    ledger.start()
    ledger.stop()


class TestDeactivate:
    def test_everybody_inside_and_on_the_way_is_put_out(self, desk: Desk, answer: Answer) -> None:
        phone, agent, coming = answer(1), invited(desk, "ann"), answer(2, started=False)
        room = desk.switchboard.rooms.get(ROOM)
        assert removals.deactivate(desk.switchboard, room).disabled
        put_out = (CallStatus.ENDED, EndReason.ROOM_DEACTIVATED)
        assert ends(desk, phone, agent, coming) == [put_out] * 3
        assert session(desk).ended_at == desk.clock.now()

    def test_other_rooms_are_left_alone(self, desk: Desk, answer: Answer) -> None:
        elsewhere = invited(desk, "ann", "another-room")
        answer()
        removals.deactivate(desk.switchboard, desk.switchboard.rooms.get(ROOM))
        assert ends(desk, elsewhere) == [(CallStatus.ANSWERED, None)]

    def test_a_caller_who_comes_later_is_rejected_and_the_ladder_says_why(self, desk: Desk) -> None:
        removals.deactivate(desk.switchboard, a_room(desk))
        connector = desk.connect(a_connector())
        assert verbs(desk.notify_after_commit(connector)) == ["Reject"]
        call = desk.call(connector)
        assert (call.status, call.end_reason) == (CallStatus.REJECTED, EndReason.ROOM_DEACTIVATED)
        assert call.steps[-1].detail == "room-deactivated"
        assert call.room_id == ROOM
        assert events(call) == [LadderEvent.WEBHOOK, LadderEvent.END]

    def test_a_caller_whose_socket_was_lost_is_hung_up_on_asking_again(self, desk: Desk) -> None:
        connector = desk.connect(a_connector())
        leg_id = desk.start(ref_of(desk.notify_after_commit(connector)))
        desk.calls.detached(desk.call(connector).id, leg_id, desk.clock.now(), "gone", None)
        removals.deactivate(desk.switchboard, desk.switchboard.rooms.get(ROOM))
        assert verbs(desk.notify_after_commit(connector, CallStatus=UP)) == ["Hangup"]

    def test_a_caller_who_was_let_in_meanwhile_is_put_out_again(
        self, desk: Desk, answer: Answer
    ) -> None:
        call = answer(started=False)
        connector = desk.connect(a_connector())
        spec = desk.switchboard.claim("twilio", ref_of(desk.notify_after_commit(connector)))
        # As if it had got past the look at the room before the room was deactivated.
        desk.switchboard.rooms.deactivate(ROOM, desk.clock.now())
        desk.switchboard.record(LegStarted(spec.call_id, spec.leg_id, "s1", desk.clock.now()))
        late = desk.calls.get(spec.call_id)
        assert (late.status, late.end_reason) == (CallStatus.ENDED, EndReason.ROOM_DEACTIVATED)
        assert session(desk).ended_at is not None
        assert desk.calls.get(call.id).status is CallStatus.INCOMING

    def test_nobody_is_left_inside_however_the_joins_and_it_fall_together(self, desk: Desk) -> None:
        connectors = [desk.connect(a_connector()) for _ in range(4)]
        specs = [
            desk.switchboard.claim("twilio", ref_of(desk.notify_after_commit(one)))
            for one in connectors
        ]
        room = desk.switchboard.rooms.get(ROOM)

        def act(index: int) -> None:
            if index == 4:
                removals.deactivate(desk.switchboard, room)
            else:
                spec = specs[index]
                desk.switchboard.record(
                    LegStarted(spec.call_id, spec.leg_id, "s1", desk.clock.now())
                )

        assert [outcome for outcome in at_once(5, act) if outcome is not None] == []
        assert desk.calls.live() == 0

    def test_a_program_is_not_invited(self, desk: Desk) -> None:
        removals.deactivate(desk.switchboard, a_room(desk))
        with pytest.raises(Forbidden, match="deactivated"):
            invited(desk, "ann")


class TestAllowed:
    def test_a_program_of_another_id_is_not_invited(self, desk: Desk) -> None:
        a_room(desk, allowed_participant_ids=("ann",))
        assert invited(desk, "ann").participant.id == "ann"
        with pytest.raises(Forbidden, match="this id"):
            invited(desk, "bob")

    def test_a_phone_has_no_id_that_anybody_could_allow(self, desk: Desk) -> None:
        a_room(desk, allowed_participant_ids=("ann",))
        connector = desk.connect(a_connector())
        assert verbs(desk.notify_after_commit(connector)) == ["Reject"]
        assert desk.call(connector).end_reason is EndReason.PARTICIPANT_NOT_ALLOWED
        assert desk.call(connector).steps[-1].detail == "participant-not-allowed"


class TestEnd:
    def test_everybody_in_it_is_put_out_and_it_has_ended(self, desk: Desk, answer: Answer) -> None:
        phone, agent, coming = answer(1), invited(desk, "ann"), answer(2, started=False)
        ended = removals.end(desk.switchboard, session(desk))
        assert ended.ended_at == desk.clock.now()
        put_out = (CallStatus.ENDED, EndReason.SESSION_ENDED)
        assert ends(desk, phone, agent) == [put_out] * 2
        assert ends(desk, coming) == [(CallStatus.INCOMING, None)]

    def test_one_that_has_ended_stays_as_it_is(self, desk: Desk, answer: Answer) -> None:
        answer()
        first = removals.end(desk.switchboard, session(desk))
        desk.clock.advance(5)
        assert removals.end(desk.switchboard, first) == first

    def test_the_room_is_open_for_the_next_session(self, desk: Desk, answer: Answer) -> None:
        answer(1)
        removals.end(desk.switchboard, session(desk))
        answer(2, "s2")
        assert session(desk, "s2").ended_at is None


class TestRemove:
    def test_one_is_put_out_and_the_others_stay(self, desk: Desk, answer: Answer) -> None:
        phone, agent = answer(), invited(desk, "ann")
        removals.remove(desk.switchboard, session(desk), phone.participant.id)
        assert ends(desk, phone) == [(CallStatus.ENDED, EndReason.REMOVED)]
        assert ends(desk, agent) == [(CallStatus.ANSWERED, None)]
        assert session(desk).ended_at is None

    def test_whoever_is_not_there_cannot_be_removed(self, desk: Desk, answer: Answer) -> None:
        phone = answer()
        invited(desk, "ann")
        removals.remove(desk.switchboard, session(desk), phone.participant.id)
        for participant_id in ("nobody", phone.participant.id):
            with pytest.raises(NotFound):
                removals.remove(desk.switchboard, session(desk), participant_id)


class TestAutoClose:
    def test_a_session_ends_after_the_minutes_of_its_room(self, desk: Desk, answer: Answer) -> None:
        a_room(desk, auto_close=AutoClose(AutoCloseType.SESSION_ENDS, 2))
        phone, agent = answer(), invited(desk, "ann")
        desk.clock.advance(119.9)
        removals.sweep(desk.switchboard)
        assert session(desk).ended_at is None
        desk.clock.advance(0.1)
        removals.sweep(desk.switchboard)
        assert session(desk).ended_at == desk.clock.now()
        assert ends(desk, phone, agent) == [(CallStatus.ENDED, EndReason.SESSION_TIMEOUT)] * 2
        assert not desk.switchboard.rooms.get(ROOM).disabled

    def test_a_room_for_one_session_is_deactivated_with_it(
        self, desk: Desk, answer: Answer
    ) -> None:
        a_room(desk, auto_close=AutoClose(AutoCloseType.DEACTIVATE, 2))
        phone = answer()
        desk.clock.advance(120)
        removals.sweep(desk.switchboard)
        assert ends(desk, phone) == [(CallStatus.ENDED, EndReason.SESSION_TIMEOUT)]
        assert desk.switchboard.rooms.get(ROOM).disabled

    def test_the_ledger_keeps_the_deadline_across_a_restart(
        self, desk: Desk, answer: Answer
    ) -> None:
        a_room(desk, auto_close=AutoClose(AutoCloseType.SESSION_ENDS, 1))
        phone = answer()
        desk.clock.advance(60)
        sweep(desk)
        assert desk.calls.get(phone.id).status is CallStatus.ENDED


class TestAlone:
    @pytest.fixture
    def desk(self, database: Database, clock: FakeClock) -> Iterator[Desk]:
        with a_desk(database, clock, alone_seconds=30) as desk:
            yield desk

    def test_a_caller_alone_is_hung_up_after_the_time(self, desk: Desk, answer: Answer) -> None:
        phone = answer()
        desk.clock.advance(29.9)
        removals.sweep(desk.switchboard)
        assert ends(desk, phone) == [(CallStatus.ANSWERED, None)]
        desk.clock.advance(0.1)
        removals.sweep(desk.switchboard)
        assert ends(desk, phone) == [(CallStatus.ENDED, EndReason.ALONE)]
        assert desk.calls.get(phone.id).steps[-1].detail == "alone"

    def test_company_resets_the_time(self, desk: Desk, answer: Answer) -> None:
        phone = answer()
        desk.clock.advance(20)
        agent = invited(desk, "ann")
        desk.clock.advance(300)
        removals.sweep(desk.switchboard)
        desk.switchboard.end(agent.id)
        desk.clock.advance(29.9)
        removals.sweep(desk.switchboard)
        assert ends(desk, phone) == [(CallStatus.ANSWERED, None)]
        desk.clock.advance(0.1)
        removals.sweep(desk.switchboard)
        assert ends(desk, phone) == [(CallStatus.ENDED, EndReason.ALONE)]

    def test_a_program_may_wait_for_callers(self, desk: Desk) -> None:
        agent = invited(desk, "ann")
        desk.clock.advance(3_600)
        removals.sweep(desk.switchboard)
        assert ends(desk, agent) == [(CallStatus.ANSWERED, None)]

    def test_by_default_nobody_is_hung_up_for_it(
        self, database: Database, clock: FakeClock
    ) -> None:
        with a_desk(database, clock) as patient:
            phone = answering(patient)()
            clock.advance(3_600)
            removals.sweep(patient.switchboard)
            assert ends(patient, phone) == [(CallStatus.ANSWERED, None)]


def test_a_newcomer_takes_up_the_session_of_those_who_lost_their_sockets(
    desk: Desk, answer: Answer
) -> None:
    phone = answer(1, "s1")
    desk.switchboard.take_over()
    _, ref = desk.switchboard.invite(ROOM, Participant("ann", "Ann"), None)
    assert desk.switchboard.claim("websocket", ref).session_id == "s1"
    desk.switchboard.end(phone.id)
    _, ref = desk.switchboard.invite(ROOM, Participant("bob", "Bob"), None)
    assert desk.switchboard.claim("websocket", ref).session_id is None


def test_a_call_is_in_the_room_that_its_connector_names_in_any_way(desk: Desk) -> None:
    room = desk.switchboard.rooms.create(
        Room(id=ROOM, object_id="o", created_at=1, updated_at=1, custom_id="support")
    )
    connector = desk.connect(a_connector(default_room_id="support"))
    desk.notify_after_commit(connector)
    assert desk.call(connector).room_id == room.id


def test_a_call_to_an_unknown_room_makes_it(desk: Desk) -> None:
    connector = desk.connect(a_connector(default_room_id="brand-new"))
    desk.notify_after_commit(connector)
    assert desk.call(connector).room_id == "brand-new"
    assert desk.switchboard.rooms.get("brand-new").created_at == desk.clock.now()
