"""Events in the outbox, which agree with the changes in the database."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import insert, select

from service.domain.calls import (
    WEBSOCKET,
    Call,
    CallStatus,
    EndReason,
    LadderEvent,
    LadderStep,
    Participant,
)
from service.domain.rooms import Room
from service.storage.calls.calls import Calls
from service.storage.calls.pins import Pins
from service.storage.calls.steering import StoredSteering
from service.storage.change_signals import ChangeSignal
from service.storage.database import Database
from service.storage.rooms.rooms import Rooms
from service.storage.tables import deliveries, subscriptions
from tests.support.races import at_once
from tests.support.records import a_call

ROOM = "abcd-efgh-ijkl"
ALL = [
    "call-started",
    "call-answered",
    "call-hangup",
    "call-update",
    "switch-room-initiated",
    "switch-room-completed",
    "switch-room-failed",
]


def subscribe(database: Database, name: str, *events: str, deleted_at: int | None = None) -> None:
    with database.write() as connection:
        connection.execute(
            insert(subscriptions).values(
                id=name,
                url="https://example.com",
                events=list(events),
                created_at=1,
                updated_at=1,
                deleted_at=deleted_at,
            )
        )


def room(database: Database, *patterns: str, room_id: str = ROOM) -> None:
    webhook = {"endPoint": "https://example.com", "events": list(patterns)}
    Rooms(database).create(
        Room(room_id, f"{room_id:0>24}", created_at=1, updated_at=1, webhook=webhook)
    )


def told(database: Database, receiver: str) -> list[dict[str, Any]]:
    query = select(deliveries).where(deliveries.c.receiver == receiver).order_by(deliveries.c.seq)
    with database.read() as connection:
        rows = connection.execute(query).mappings().all()
    for row in rows:
        assert json.loads(row["body"])["webhookType"] == row["event"]
        assert (row["status"], row["attempts"]) == ("pending", 0)
        assert row["due_at"] == row["created_at"] == row["expires_at"] - 86_400_000
    return [json.loads(row["body"]) for row in rows]


def names(database: Database, receiver: str) -> list[str]:
    return [each["webhookType"] for each in told(database, receiver)]


def answered(database: Database, call: Call, session_id: str = "s1", at: int = 2_000) -> None:
    calls = Calls(database)
    assert calls.admit(call, "ref-" + call.id, 100)
    calls.claim("ref-" + call.id, call.provider, "leg-" + call.id, at)
    assert calls.answered(call.id, "leg-" + call.id, session_id, at)


def test_subscriptions_get_the_events_of_a_call(database: Database) -> None:
    subscribe(database, "wh_all", *ALL)
    subscribe(database, "wh_end", "call-hangup")
    subscribe(database, "wh_gone", *ALL, deleted_at=2)
    database.signals[ChangeSignal.OUTBOX].clear()
    call = a_call()
    answered(database, call)
    assert database.signals[ChangeSignal.OUTBOX].is_set()
    calls = Calls(database)
    calls.step(call.id, "leg-" + call.id, LadderEvent.FIRST_AUDIO_IN, 2_020)
    calls.end(call.id, EndReason.CALLER_HUNG_UP, 3_000, stats={"framesIn": 9})
    assert names(database, "wh_all") == [
        "call-started",
        "call-answered",
        "call-update",
        "call-hangup",
        "call-update",
    ]
    (end,) = told(database, "wh_end")
    assert end["data"]["callId"] == call.id
    assert (end["data"]["status"], end["data"]["endReason"]) == ("ended", "caller-hung-up")
    assert end["data"]["stats"] == {"framesIn": 9}
    assert end["data"]["meetingId"] == end["data"]["roomId"] == call.room_id
    assert [each["data"]["timestamp"][-7:] for each in told(database, "wh_all")] == [
        "01.000Z",
        "02.000Z",
        "02.000Z",
        "03.000Z",
        "03.000Z",
    ]
    assert end["data"]["sessionId"] == "s1"
    assert [step["event"] for step in end["data"]["timelog"]] == [
        "webhook",
        "markup",
        "socket",
        "start",
        "first-audio-in",
        "end",
    ]
    assert told(database, "wh_gone") == []


def test_a_custom_websocket_has_events_from_its_ticket_on(database: Database) -> None:
    subscribe(database, "wh_all", "call-started", "call-answered", "call-hangup")
    ticket = a_call(provider=WEBSOCKET, connector_id=None, steps=())
    answered(database, ticket)
    Calls(database).end(ticket.id, EndReason.CALLER_HUNG_UP, 3_000)
    assert names(database, "wh_all") == ["call-started", "call-answered", "call-hangup"]


def test_a_refused_change_writes_no_event(database: Database) -> None:
    subscribe(database, "wh_all", *ALL)
    call = a_call()
    answered(database, call)
    calls = Calls(database)
    calls.end(call.id, EndReason.CALLER_HUNG_UP, 3_000)
    before = names(database, "wh_all")
    assert calls.end(call.id, EndReason.CALLER_HUNG_UP, 3_001) is None
    assert calls.answered(call.id, "leg-" + call.id, "s1", 3_002) is None
    assert names(database, "wh_all") == before


def test_one_of_two_simultaneous_ends_writes_events(database: Database) -> None:
    subscribe(database, "wh_end", "call-hangup")
    call = a_call()
    answered(database, call)
    reasons = [EndReason.CALLER_HUNG_UP, EndReason.ENDED_BY_API]
    at_once(2, lambda n: Calls(database).end(call.id, reasons[n], 3_000))
    assert names(database, "wh_end") == ["call-hangup"]


def test_a_rolled_back_change_writes_no_event(database: Database) -> None:
    subscribe(database, "wh_all", *ALL)
    call = a_call()
    assert Calls(database).admit(call, "ref-1", 100)
    with pytest.raises(Exception, match="known"):
        Calls(database).admit(call, "ref-2", 100)
    assert names(database, "wh_all") == ["call-started"]


def test_a_move_and_its_arrival_write_events(database: Database) -> None:
    subscribe(database, "wh_all", *ALL)
    call = a_call()
    answered(database, call)
    steering = StoredSteering(database)
    steering.move(call.id, "other", call.participant, 2_100)
    steering.arrived(call.id, "leg-" + call.id, "other", call.participant.id, "s2", 2_200)
    assert names(database, "wh_all")[3:] == ["switch-room-initiated", "switch-room-completed"]
    assert told(database, "wh_all")[-1]["data"]["roomId"] == "other"


def test_a_call_with_a_pin_writes_the_usual_events(database: Database) -> None:
    subscribe(database, "wh_all", *ALL)
    pins, calls = Pins(database), Calls(database)
    first, second = (a_call(room_id=None, pin_tries=1) for _ in range(2))
    for call in (first, second):
        assert calls.admit(call, None, 100)
    step = LadderStep(LadderEvent.PIN, 2_000, CallStatus.INCOMING, "wrong PIN")
    assert pins.rejected(first.id, 1, EndReason.NO_PIN, 2_000, step)
    verified = LadderStep(LadderEvent.VERIFIED, 2_000, CallStatus.VERIFIED)
    assert pins.verified(second.id, 1, ROOM, "ref", 90_000, lambda place: [verified])
    assert names(database, "wh_all") == [
        "call-started",
        "call-started",
        "call-hangup",
        "call-update",
        "call-update",
    ]
    end, _, update = told(database, "wh_all")[2:]
    assert (end["data"]["id"], end["data"]["endReason"]) == (first.id, "no-pin")
    assert (update["data"]["id"], update["data"]["status"]) == (second.id, "verified")
    assert update["data"]["roomId"] == ROOM


def test_a_rooms_webhook_gets_joins_and_leaves(database: Database) -> None:
    room(database, "participant-*", "session-ended")
    first = a_call(participant=Participant("ann", "Ann"))
    second = a_call(provider=WEBSOCKET, connector_id=None, participant=Participant("bot", "Bot"))
    answered(database, first)
    answered(database, second, at=2_500)
    calls = Calls(database)
    calls.end(first.id, EndReason.CONNECTION_LOST, 3_000)
    calls.end(second.id, EndReason.CALLER_HUNG_UP, 4_000)
    heard = told(database, "room:" + ROOM)
    assert [(each["webhookType"], each["data"].get("participantId")) for each in heard] == [
        ("participant-joined", "ann"),
        ("participant-joined", "bot"),
        ("participant-left", "ann"),
        ("participant-left", "bot"),
        ("session-ended", None),
    ]
    assert heard[0]["data"] == {
        "meetingId": ROOM,
        "sessionId": "s1",
        "participantId": "ann",
        "participantName": "Ann",
        "callId": first.id,
    }
    assert [each["data"]["reason"] for each in heard[2:]] == [
        "connection-error",
        "user-left",
        "Meeting Ended.",
    ]
    assert heard[4]["data"]["start"] == "1970-01-01T00:00:02.000+00:00"
    assert heard[4]["data"]["end"] == "1970-01-01T00:00:04.000+00:00"


def test_a_sessions_start_precedes_its_first_join(database: Database) -> None:
    room(database, "*")
    answered(database, a_call())
    assert names(database, "room:" + ROOM) == ["session-started", "participant-joined"]


def test_a_new_participant_id_in_the_same_session_is_a_leave_and_a_join(
    database: Database,
) -> None:
    room(database, "*")
    call = a_call(participant=Participant("ann", "Ann"))
    answered(database, call)
    steering = StoredSteering(database)
    steering.move(call.id, ROOM, Participant("eve", "Ann"), 2_100)
    steering.arrived(call.id, "leg-" + call.id, ROOM, "eve", "s1", 2_200)
    assert [
        (each["webhookType"], each["data"].get("participantId"))
        for each in told(database, "room:" + ROOM)[2:]
    ] == [("participant-left", "ann"), ("participant-joined", "eve")]


def test_a_move_writes_events_for_both_rooms(database: Database) -> None:
    room(database, "*")
    room(database, "*", room_id="other")
    call = a_call()
    answered(database, call)
    steering = StoredSteering(database)
    steering.move(call.id, "other", call.participant, 2_100)
    steering.arrived(call.id, "leg-" + call.id, "other", call.participant.id, "s2", 2_200)
    assert names(database, "room:" + ROOM)[2:] == ["participant-left", "session-ended"]
    assert names(database, "room:other") == ["session-started", "participant-joined"]


def test_a_room_without_a_matching_webhook_gets_no_event(database: Database) -> None:
    room(database, "recording-*")
    call = a_call()
    answered(database, call)
    Calls(database).end(call.id, EndReason.CALLER_HUNG_UP, 3_000)
    assert told(database, "room:" + ROOM) == []
