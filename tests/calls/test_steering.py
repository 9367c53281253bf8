"""Steering: calls that are moved and transferred, in any order of events and at the same moment."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from service.domain.calls import Call, CallStatus, EndReason, LadderEvent
from service.domain.rooms import Room
from service.errors import Conflict, Forbidden
from service.media.rooms.reports import LegClosed, LegMoved, LegStarted
from service.storage.database import Database
from tests.support.clients import Client
from tests.support.clocks import FakeClock
from tests.support.harness import (
    CALL_IDS,
    DIALLED,
    Harness,
    a_harness,
    kept,
    masked,
    ref_of,
    verbs,
)
from tests.support.races import at_once
from tests.support.records import a_connector

PROVIDERS = ("twilio", "plivo", "telnyx")


UP = "in-progress"


def statuses(call: Call, event: LadderEvent) -> list[str]:
    return [step.status.value for step in call.steps if step.event is event]


def test_move_is_stored_before_it_happens_and_completed_on_arrival(
    each_harness: Harness,
) -> None:
    harness = each_harness
    call = harness.answered(harness.connect(a_connector()))
    moving = harness.steering.move(call, "room-2", None)
    assert (moving.room_id, moving.session_id, moving.status) == ("room-2", None, "answered")
    assert moving == harness.calls.get(call.id)
    harness.moved(call, "room-2")
    done = harness.calls.get(call.id)
    assert (done.session_id, done.participant) == ("s2", call.participant)
    assert statuses(done, LadderEvent.MOVED) == ["switch-room-initiated", "switch-room-completed"]
    harness.moved(call, "room-2", "s3")
    assert harness.calls.get(call.id) == done


def test_move_may_give_the_call_another_participant_id(harness: Harness) -> None:
    call = harness.answered(harness.connect(a_connector()))
    moving = harness.steering.move(call, "room-2", "zoe")
    assert moving.participant.id == "zoe"
    assert moving.participant.name == call.participant.name


def test_move_to_where_the_call_is_changes_nothing(harness: Harness) -> None:
    call = harness.answered(harness.connect(a_connector()))
    assert harness.steering.move(call, call.room_id or "", call.participant.id) == call


def test_arrival_in_a_previous_room_is_ignored(harness: Harness) -> None:
    call = harness.answered(harness.connect(a_connector()))
    harness.steering.move(call, "room-2", None)
    harness.steering.move(call, "room-3", None)
    harness.moved(call, "room-2")
    assert harness.calls.get(call.id).session_id is None
    harness.moved(call, "room-3", "s3")
    after = harness.calls.get(call.id)
    assert (after.session_id, after.is_moving) == ("s3", False)


def test_call_without_a_socket_comes_back_in_the_new_room(harness: Harness) -> None:
    connector = harness.connect(a_connector())
    call = harness.answered(connector)
    harness.lost(call)
    harness.steering.move(call, "room-2", None)
    spec = harness.admission.claim("twilio", ref_of(harness.webhook(connector, CallStatus=UP)))
    assert (spec.room_id, spec.session_id) == ("room-2", None)
    harness.recorder.record(LegStarted(call.id, spec.leg_id, "s2", harness.clock.now()))
    harness.recorder.record(
        LegMoved(call.id, spec.leg_id, "room-2", call.participant.id, "s2", harness.clock.now())
    )
    assert statuses(harness.calls.get(call.id), LadderEvent.MOVED)[-1] == "switch-room-completed"


def test_socket_claimed_before_the_move_arrives_in_the_new_room(
    harness: Harness,
) -> None:
    connector = harness.connect(a_connector())
    call = harness.answered(connector)
    harness.lost(call)
    ref = ref_of(harness.webhook(connector, CallStatus=UP))
    spec = harness.admission.claim("twilio", ref)
    harness.steering.move(call, "room-2", None)
    start = {
        "streamSid": "MZ1",
        "callSid": CALL_IDS["twilio"],
        "customParameters": {"ref": ref},
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
    }
    with Client() as client:
        harness.engine.adopt(client.ours, spec)
        client.send(json.dumps({"event": "start", "start": start}).encode())
        started = harness.engine.reports.get(timeout=20)
        assert isinstance(started, LegStarted)
        harness.recorder.record(started)
        assert harness.calls.get(call.id).is_moving
        moved = harness.engine.reports.get(timeout=20)
        assert isinstance(moved, LegMoved)
        harness.recorder.record(moved)
        client.send_close(1000)
        assert isinstance(harness.engine.reports.get(timeout=20), LegClosed)
    done = harness.calls.get(call.id)
    assert not done.is_moving
    assert (done.room_id, done.session_id) == ("room-2", moved.session_id)


def presences(harness: Harness, session_id: str) -> list[tuple[str, int, int | None]]:
    """The participants of a session, with the times of their joins and leaves."""
    return [
        (presence.participant_id, presence.joined_at, presence.left_at)
        for presence in harness.stores.sessions.presences(session_id)
    ]


def test_move_takes_the_caller_from_one_session_into_the_other(
    each_harness: Harness,
) -> None:
    harness, clock = each_harness, each_harness.clock
    call = harness.answered(harness.connect(a_connector()))
    who, began = call.participant.id, clock.now()
    clock.advance(5)
    harness.steering.move(call, "room-2", None)
    assert presences(harness, "s1") == [(who, began, None)]
    clock.advance(1)
    harness.moved(call, "room-2")
    moved = clock.now()
    assert presences(harness, "s1") == [(who, began, moved)]
    assert presences(harness, "s2") == [(who, moved, None)]
    sessions = harness.stores.sessions
    assert sessions.get("s1").ended_at == moved
    assert (sessions.get("s2").room_id, sessions.get("s2").ended_at) == ("room-2", None)
    clock.advance(1)
    harness.ending.end(call.id)
    assert presences(harness, "s2") == [(who, moved, clock.now())]
    assert sessions.get("s2").ended_at == clock.now()


def test_remaining_participants_keep_their_session(each_harness: Harness) -> None:
    harness = each_harness
    call = harness.answered(harness.connect(a_connector()))
    other = harness.answered(harness.connect(a_connector(provider="plivo")))
    harness.steering.move(call, "room-2", None)
    harness.moved(call, "room-2")
    assert harness.stores.sessions.get("s1").ended_at is None
    assert harness.stores.sessions.present("s1") == [other.id]


def test_caller_without_a_socket_is_in_no_session_until_it_arrives(
    each_harness: Harness,
) -> None:
    harness, clock = each_harness, each_harness.clock
    connector = harness.connect(a_connector())
    call = harness.answered(connector)
    began = clock.now()
    harness.lost(call)
    clock.advance(2)
    harness.steering.move(call, "room-2", None)
    assert presences(harness, "s1") == [(call.participant.id, began, clock.now())]
    spec = harness.admission.claim("twilio", ref_of(harness.webhook(connector, CallStatus=UP)))
    clock.advance(1)
    # Where it was let in before the move, the session in which it starts is the old one.
    harness.recorder.record(LegStarted(call.id, spec.leg_id, "s1", clock.now()))
    assert harness.stores.sessions.present("s1") == []
    harness.moved(harness.calls.get(call.id), "room-2")
    assert presences(harness, "s2") == [(call.participant.id, clock.now(), None)]


def test_socket_that_is_lost_on_the_way_leaves_the_old_session(
    each_harness: Harness,
) -> None:
    harness = each_harness
    call = harness.answered(harness.connect(a_connector()))
    harness.steering.move(call, "room-2", None)
    harness.lost(call)
    assert harness.stores.sessions.present("s1") == []
    assert harness.stores.sessions.get("s1").ended_at == harness.clock.now()


def test_another_participant_id_in_the_same_room_is_another_presence(
    each_harness: Harness,
) -> None:
    harness = each_harness
    call = harness.answered(harness.connect(a_connector()))
    room_id = call.room_id or ""
    began = harness.clock.now()
    harness.clock.advance(3)
    harness.steering.move(call, room_id, "zoe")
    harness.moved(harness.calls.get(call.id), room_id, "s1")
    at = harness.clock.now()
    assert presences(harness, "s1") == [(call.participant.id, began, at), ("zoe", at, None)]
    assert harness.stores.sessions.get("s1").ended_at is None


def test_move_into_a_room_that_bars_the_participant_is_forbidden(harness: Harness) -> None:
    call = harness.answered(harness.connect(a_connector()))
    rooms = harness.stores.rooms
    rooms.deactivate(rooms.ensure("room-2", 1).id, 2)
    with pytest.raises(Forbidden, match="This room is deactivated: nobody can join it"):
        harness.steering.move(call, "room-2", None)
    rooms.create(
        Room("room-3", "object-3", 1, 1, custom_id="lounge", allowed_participant_ids=("zoe",))
    )
    with pytest.raises(Forbidden, match="does not allow a participant of this id"):
        harness.steering.move(call, "lounge", None)
    assert harness.calls.get(call.id) == call
    assert harness.steering.move(call, "lounge", "zoe").room_id == "room-3"


def test_call_moved_into_a_room_deactivated_meanwhile_is_ended(harness: Harness) -> None:
    call = harness.answered(harness.connect(a_connector()))
    harness.steering.move(call, "room-2", None)
    harness.stores.rooms.deactivate("room-2", harness.clock.now())
    harness.moved(call, "room-2")
    assert harness.calls.get(call.id).end_reason is EndReason.ROOM_DEACTIVATED


def test_call_that_ends_on_its_way_has_not_arrived(harness: Harness) -> None:
    call = harness.answered(harness.connect(a_connector()))
    harness.steering.move(call, "room-2", None)
    ended = harness.ending.end(call.id)
    assert statuses(ended, LadderEvent.MOVED) == ["switch-room-initiated", "switch-room-failed"]
    assert ended.steps[-1].event is LadderEvent.END
    harness.moved(call, "room-2")
    assert harness.calls.get(call.id) == ended


def test_only_a_call_that_is_answered_can_be_steered(harness: Harness) -> None:
    connector = harness.connect(a_connector())
    harness.webhook(connector)
    call = harness.call(connector)
    for steer in (
        lambda: harness.steering.move(call, "room-2", None),
        lambda: harness.steering.transfer(call, DIALLED),
    ):
        with pytest.raises(Conflict, match="not been answered yet: it is incoming"):
            steer()
    ended = harness.ending.end(call.id)
    for known in (ended, replace(ended, status=CallStatus.ANSWERED)):
        with pytest.raises(Conflict, match="The call is over: it is ended"):
            harness.steering.move(known, "room-2", None)
    assert harness.stores.rooms.find("room-3") is None


def test_ending_and_moving_at_the_same_moment_leaves_an_ended_call(
    each_harness: Harness,
) -> None:
    harness = each_harness
    for turn in range(5):
        connector = harness.connect(a_connector())
        call = harness.answered(connector)

        def steer(index: int, call: Call = call) -> object:
            if index == 0:
                return harness.ending.end(call.id)
            return harness.steering.move(call, f"room-{index}", None)

        outcomes = at_once(4, steer)
        assert all(isinstance(each, Call | Conflict) for each in outcomes), turn
        ended = harness.calls.get(call.id)
        assert ended.status is CallStatus.ENDED
        assert ended.steps[-1].event is LadderEvent.END
        assert not ended.is_moving


def test_transfer_and_a_hang_up_at_the_same_moment_leave_an_ended_call(
    each_harness: Harness,
) -> None:
    harness = each_harness
    connector = harness.connect(a_connector())
    call = harness.answered(connector)
    work = [
        lambda: harness.steering.transfer(call, DIALLED),
        lambda: harness.webhook(connector, CallStatus="completed"),
        lambda: harness.lost(call),
        lambda: harness.webhook(connector, CallStatus=UP),
    ]
    at_once(len(work), lambda index: work[index]())
    ended = harness.calls.get(call.id)
    assert ended.status is CallStatus.ENDED
    assert not ended.is_transferring
    assert verbs(harness.webhook(connector, CallStatus=UP)) == ["Hangup"]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_transfer_is_told_to_the_provider_when_it_asks_again(
    harness: Harness, provider: str
) -> None:
    connector = harness.connect(a_connector(provider=provider))
    call = harness.answered(connector)
    harness.steering.transfer(call, DIALLED)
    harness.lost(call)
    response = harness.webhook(connector, CallStatus=UP)
    assert verbs(response) == ["Dial"]
    assert response[0].get("action") == f"{harness.address(call)}/dial"
    plain = str if provider != "plivo" else lambda number: number.removeprefix("+")
    assert response[0].findtext("Number") == plain(DIALLED)
    assert response[0].get("callerId") == plain("+14155550199")
    again = harness.webhook(connector, CallStatus=UP)
    assert verbs(again) == ["Dial"]
    transferring = harness.call(connector)
    assert statuses(transferring, LadderEvent.TRANSFER) == ["transfer-initiated", "transferring"]
    assert kept(transferring)[-1] == masked(response, connector)


@pytest.mark.parametrize("called", ["4155550199", "+14155550199x5", "sip:harness@example.com"])
def test_transfer_shows_a_number_of_ours_or_none(harness: Harness, called: str) -> None:
    connector = harness.connect(a_connector())
    call = harness.answered(connector, To=called)
    harness.steering.transfer(call, DIALLED)
    harness.lost(call)
    assert harness.webhook(connector, CallStatus=UP)[0].get("callerId") is None


@pytest.mark.parametrize("reason", [None, EndReason.CALLER_HUNG_UP], ids=["lost", "stop"])
def test_transferred_call_is_ended_by_no_deadline_and_no_stop_message(
    harness: Harness, reason: EndReason | None
) -> None:
    connector = harness.connect(a_connector())
    call = harness.answered(connector)
    harness.steering.transfer(call, DIALLED)
    harness.lost(call, reason)
    harness.webhook(connector, CallStatus=UP)
    harness.clock.advance(600)
    harness.deadlines.sweep()
    assert harness.call(connector).status is CallStatus.ANSWERED
    harness.dialled(connector, "completed")
    after = harness.call(connector)
    assert (after.status, after.end_reason) == (CallStatus.ENDED, EndReason.TRANSFERRED)
    assert after.transfer.status is CallStatus.TRANSFERRED


@pytest.mark.parametrize("ends", ["dial", "hang-up"])
def test_transferred_caller_leaves_the_session_when_the_dial_begins(
    each_harness: Harness, ends: str
) -> None:
    harness = each_harness
    connector = harness.connect(a_connector())
    call = harness.answered(connector)
    began = harness.clock.now()
    harness.clock.advance(10)
    harness.steering.transfer(call, DIALLED)
    harness.lost(call)
    harness.webhook(connector, CallStatus=UP)
    handed_on = harness.clock.now()
    harness.clock.advance(600)
    assert harness.stores.sessions.present("s1") == [call.id]
    if ends == "dial":
        harness.dialled(connector, "completed")
    else:
        harness.webhook(connector, CallStatus="completed")
    assert presences(harness, "s1") == [(call.participant.id, began, handed_on)]
    assert harness.stores.sessions.get("s1").ended_at == handed_on


def test_provider_that_never_asks_ends_the_transfer_with_the_call(
    harness: Harness,
) -> None:
    connector = harness.connect(a_connector())
    call = harness.answered(connector)
    harness.steering.transfer(call, DIALLED)
    harness.lost(call)
    harness.clock.advance(15)
    harness.deadlines.sweep()
    after = harness.call(connector)
    assert after.end_reason is EndReason.CONNECTION_LOST
    assert after.transfer.status is CallStatus.TRANSFER_FAILED


def test_provider_that_keeps_asking_is_told_to_hang_up_in_the_end(harness: Harness) -> None:
    connector = harness.connect(a_connector())
    call = harness.answered(connector)
    harness.steering.transfer(call, DIALLED)
    answers = [verbs(harness.webhook(connector, CallStatus=UP)) for _ in range(6)]
    assert answers == [["Dial"]] * 5 + [["Hangup"]]


def test_call_that_is_being_transferred_is_left_alone(harness: Harness) -> None:
    call = harness.answered(harness.connect(a_connector()))
    harness.steering.transfer(call, DIALLED)
    for steer in (
        lambda: harness.steering.move(call, "room-2", None),
        lambda: harness.steering.transfer(call, DIALLED),
    ):
        with pytest.raises(Conflict, match="being transferred"):
            steer()


def test_without_reattach_there_is_no_transfer(sqlite_database: Database, clock: FakeClock) -> None:
    with a_harness(sqlite_database, clock, reattach=False) as harness:
        call = harness.answered(harness.connect(a_connector()))
        with pytest.raises(Conflict, match="REATTACH is off"):
            harness.steering.transfer(call, DIALLED)
        assert harness.calls.get(call.id) == call


def test_transfer_lasts_no_longer_than_the_call_may(
    sqlite_database: Database, clock: FakeClock
) -> None:
    with a_harness(sqlite_database, clock, max_call_seconds=100) as harness:
        connector = harness.connect(a_connector())
        call = harness.answered(connector)
        harness.steering.transfer(call, DIALLED)
        clock.advance(30)
        assert harness.webhook(connector, CallStatus=UP)[0].get("timeLimit") == "70"
