"""The session endpoints: envelopes, filters, timelogs, statistics and removal of participants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest
from flask import Flask
from flask.testing import FlaskClient

from service.domain.calls import Call, CallStatus, EndReason, Participant
from service.domain.rooms import Room
from service.web.services import Services, services_of
from tests.support.clocks import FakeClock

ROOM = "abcd-efgh-ijkl"
SESSION = "621497578bea0d0404c35c4c"
NOON = 1_782_043_200_000
"""2026-06-21T12:00:00Z, in the day on which the clock starts."""


@pytest.fixture
def services(app: Flask) -> Services:
    return services_of(app)


@pytest.fixture
def come(services: Services, clock: FakeClock) -> Callable[..., Call]:
    """A function that makes a participant join a room, as the engine reports it."""

    def make(name: str, session_id: str = SESSION, room_id: str = ROOM) -> Call:
        participant = Participant(name, name.title())
        ticket = services.admission.invite(room_id, participant, "in002")
        call, spec = ticket.call, services.admission.claim("websocket", ticket.ref)
        clock.advance(1)
        assert services.stores.calls.answered(call.id, spec.leg_id, session_id, clock.now())
        return call

    return make


@pytest.fixture
def go(services: Services, clock: FakeClock) -> Callable[..., None]:
    def make(call: Call, **changes: Any) -> None:
        clock.advance(1)
        reason = EndReason.CALLER_HUNG_UP
        assert services.stores.calls.end(call.id, reason, clock.now(), **changes)

    return make


@pytest.fixture
def support(services: Services) -> Room:
    """A room with a customRoomId."""
    return services.stores.rooms.create(
        Room(id=ROOM, object_id="0" * 24, created_at=1, updated_at=1, custom_id="testing-room")
    )


def ids(response: Any) -> list[str]:
    assert response.status_code == 200
    return [session["id"] for session in response.json["data"]]


def test_the_list_is_answered_as_documented(
    client: FlaskClient, come: Callable[..., Call], go: Callable[..., None], support: Room
) -> None:
    come("jacques")
    go(come("marie"))
    response = client.get("/v2/sessions")
    assert response.status_code == 200
    user_id = response.json["data"][0]["userId"]
    assert user_id == client.get(f"/v2/rooms/{ROOM}").json["userId"]
    assert response.data == orjson.dumps(
        {
            "pageInfo": {"currentPage": 1, "perPage": 20, "lastPage": 1, "total": 1},
            "data": [
                {
                    "id": SESSION,
                    "roomId": ROOM,
                    "customRoomId": "testing-room",
                    "start": "2026-06-21T14:30:46.123Z",
                    "end": None,
                    "status": "ongoing",
                    "region": "in002",
                    "participants": [
                        {
                            "participantId": "jacques",
                            "name": "Jacques",
                            "timelog": [{"start": "2026-06-21T14:30:46.123Z", "end": None}],
                        },
                        {
                            "participantId": "marie",
                            "name": "Marie",
                            "timelog": [
                                {
                                    "start": "2026-06-21T14:30:47.123Z",
                                    "end": "2026-06-21T14:30:48.123Z",
                                }
                            ],
                        },
                    ],
                    "links": {
                        "get_room": f"https://voice.example.com/v2/rooms/{ROOM}",
                        "get_session": f"https://voice.example.com/v2/sessions/{SESSION}",
                    },
                    "userId": user_id,
                }
            ],
        }
    )
    assert client.get("/v2/sessions/").data == response.data


def test_one_session_is_at_top_level(client: FlaskClient, come: Callable[..., Call]) -> None:
    come("ann")
    (listed,) = client.get("/v2/sessions").json["data"]
    response = client.get(f"/v2/sessions/{SESSION}")
    assert (response.status_code, response.json) == (200, listed)


def test_unknown_sessions_are_404(client: FlaskClient) -> None:
    for path in ("", "/participants", "/participants/active", "/participants/p", "/stats"):
        response = client.get(f"/v2/sessions/{SESSION}{path}")
        assert response.status_code == 404
        assert response.json == {"message": "Session not found.", "statusCode": 404}


def test_participants_are_in_an_object_and_active_ones_in_an_array(
    client: FlaskClient, come: Callable[..., Call], go: Callable[..., None]
) -> None:
    come("ann")
    go(come("bob"))
    session = client.get(f"/v2/sessions/{SESSION}").json
    info = {"currentPage": 1, "perPage": 20, "lastPage": 1, "total": 2}
    response = client.get(f"/v2/sessions/{SESSION}/participants")
    assert response.json == {"pageInfo": info, "data": session}
    response = client.get(f"/v2/sessions/{SESSION}/participants/active")
    only = {**session, "participants": session["participants"][:1]}
    assert response.json == {"pageInfo": {**info, "total": 1}, "data": [only]}


def test_participants_come_in_pages(client: FlaskClient, come: Callable[..., Call]) -> None:
    for number in range(5):
        come(f"p{number}")
    response = client.get(f"/v2/sessions/{SESSION}/participants?perPage=2&page=3").json
    assert response["pageInfo"] == {"currentPage": 3, "perPage": 2, "lastPage": 3, "total": 5}
    assert [who["participantId"] for who in response["data"]["participants"]] == ["p4"]
    beyond = client.get(f"/v2/sessions/{SESSION}/participants/active?page=9").json
    assert beyond["data"][0]["participants"] == []
    assert client.get(f"/v2/sessions/{SESSION}/participants?perPage=101").status_code == 400


def test_participant_has_all_its_presences(
    client: FlaskClient, come: Callable[..., Call], go: Callable[..., None]
) -> None:
    come("watcher")
    go(come("a/b"))
    come("a/b")
    response = client.get(f"/v2/sessions/{SESSION}/participants/a%2Fb")
    assert response.status_code == 200
    assert response.json == {
        "participantId": "a/b",
        "name": "A/B",
        "timelog": [
            {"start": "2026-06-21T14:30:47.123Z", "end": "2026-06-21T14:30:48.123Z"},
            {"start": "2026-06-21T14:30:49.123Z", "end": None},
        ],
    }
    unknown = client.get(f"/v2/sessions/{SESSION}/participants/nobody")
    assert (unknown.status_code, unknown.json["message"]) == (404, "Participant not found.")


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["s3", "s2", "s1"]),
        (f"roomId={ROOM}", ["s3", "s1"]),
        ("roomId=testing-room", ["s3", "s1"]),
        (f"roomId={ROOM}&status=ongoing&perPage=1", ["s3"]),
        ("roomId=nowhere", []),
        ("customRoomId=testing-room", ["s3", "s1"]),
        ("customRoomId=other", []),
        ("query=testing-room", ["s3", "s1"]),
        ("query=other", ["s2"]),
        ("query=test", []),
        ("status=ended", ["s2", "s1"]),
        (f"startDate={NOON}", ["s3", "s2", "s1"]),
        (f"startDate={NOON + 86_400_000}", []),
        (f"endDate={NOON}", ["s3", "s2", "s1"]),
        (f"endDate={NOON - 86_400_000}", []),
        ("endDate=0", []),
        ("endDate=253402300799999", ["s3", "s2", "s1"]),
        ("userId=somebody-else", []),
        ("perPage=2&page=2", ["s1"]),
        ("page=999999999", []),
    ],
)
def test_filters_narrow_the_list(
    client: FlaskClient,
    come: Callable[..., Call],
    go: Callable[..., None],
    support: Room,
    query: str,
    found: list[str],
) -> None:
    go(come("ann", "s1"))
    go(come("ann", "s2", "other"))
    come("ann", "s3")
    assert ids(client.get(f"/v2/sessions?{query}")) == found
    assert ids(client.get(f"/v2/sessions/?{query}")) == found


def test_filter_by_the_account_s_id_has_no_effect(
    client: FlaskClient, come: Callable[..., Call]
) -> None:
    come("ann")
    user_id = client.get(f"/v2/rooms/{ROOM}").json["userId"]
    assert ids(client.get(f"/v2/sessions?userId={user_id}")) == [SESSION]
    other = client.get("/v2/sessions?userId=other").json["pageInfo"]
    assert (other["total"], other["lastPage"]) == (0, 1)


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("status=live", "status must be one of ongoing, ended."),
        ("startDate=yesterday", "startDate must be a time in milliseconds since 1970."),
        ("startDate=-1", "startDate must be a time in milliseconds since 1970."),
        ("startDate=", "startDate must be a time in milliseconds since 1970."),
        ("endDate=1e3", "endDate must be a time in milliseconds since 1970."),
        ("endDate=%D9%A1", "endDate must be a time in milliseconds since 1970."),
        ("endDate=253402300800000", "endDate must be a time before the year 10000."),
        ("page=0", "page must be a whole number from 1."),
        ("perPage=101", "perPage must be a whole number from 1 to 100."),
    ],
)
def test_a_wrong_filter_is_400_and_named(client: FlaskClient, query: str, sentence: str) -> None:
    response = client.get(f"/v2/sessions?{query}")
    assert (response.status_code, response.json["message"]) == (400, sentence)


def test_statistics_are_live_or_stored_at_the_end(
    client: FlaskClient, engine: Any, come: Callable[..., Call], go: Callable[..., None]
) -> None:
    ann, bob = come("ann"), come("bob")
    go(bob, stats={"framesIn": 7})
    engine.live[ann.id] = {"framesIn": 50, "jitterMs": 1.5}
    now = "2026-06-21T14:30:48.123Z"
    readings = [
        {
            "time": now,
            "callId": ann.id,
            "participantId": "ann",
            "participantName": "Ann",
            "audio": {"framesIn": 50, "jitterMs": 1.5},
        },
        {
            "time": now,
            "callId": bob.id,
            "participantId": "bob",
            "participantName": "Bob",
            "audio": {"framesIn": 7},
        },
    ]
    whole = {"sessionId": SESSION, "roomId": ROOM, "meetingId": ROOM, "stats": readings}
    assert client.get(f"/v2/sessions/{SESSION}/stats").json == whole
    assert client.get(f"/v2/sessions/{SESSION}/participant/bob/stats").json == {
        **whole,
        "stats": readings[1:],
        "participantId": "bob",
        "participantName": "Bob",
    }
    assert client.get(f"/v2/sessions/{SESSION}/participant/cat/stats").status_code == 404


def test_statistics_are_the_stored_ones_without_the_engine(
    client: FlaskClient, engine: Any, come: Callable[..., Call]
) -> None:
    come("ann")
    engine.answers = False
    (reading,) = client.get(f"/v2/sessions/{SESSION}/stats").json["stats"]
    assert reading["audio"] is None


@pytest.mark.parametrize(
    "body",
    [
        {"roomId": ROOM},
        {"roomId": "testing-room"},
        {"sessionId": SESSION},
        {"roomId": ROOM, "sessionId": SESSION},
    ],
)
def test_ending_a_session_removes_everyone_and_answers_with_it(
    client: FlaskClient, engine: Any, come: Callable[..., Call], support: Room, body: dict[str, str]
) -> None:
    calls = [come("ann"), come("bob")]
    response = client.post("/v2/sessions/end", json=body)
    assert response.status_code == 200
    ended = response.json
    assert (ended["status"], ended["end"]) == ("ended", "2026-06-21T14:30:47.123Z")
    assert (ended["meetingId"], ended["userMeetingId"]) == (ROOM, "testing-room")
    assert all(who["timelog"][0]["end"] for who in ended["participants"])
    assert engine.hung_up == [(call.id, EndReason.SESSION_ENDED) for call in calls]
    single = client.get(f"/v2/sessions/{SESSION}").json
    assert ended == {**single, "meetingId": ROOM, "userMeetingId": "testing-room"}


def test_ending_requires_an_ongoing_or_named_session(
    client: FlaskClient, come: Callable[..., Call], go: Callable[..., None]
) -> None:
    go(come("ann"))
    come("bob", "s2", "other")
    for body, status, sentence in (
        ({}, 400, "roomId is required."),
        ({"roomId": ROOM}, 404, "No session is going on in this room."),
        ({"roomId": "nowhere"}, 404, "Room not found."),
        ({"sessionId": "s9"}, 404, "Session not found."),
        ({"roomId": ROOM, "sessionId": "s2"}, 404, "This room has no such session."),
    ):
        response = client.post("/v2/sessions/end", json=body)
        assert (response.status_code, response.json["message"]) == (status, sentence)
    over = client.post("/v2/sessions/end", json={"sessionId": SESSION, "ignoreClosed": True})
    assert (over.status_code, over.json["status"]) == (200, "ended")
    assert over.json["warnings"] == ["Field ignoreClosed is not known and was ignored."]
    assert ids(client.get("/v2/sessions?status=ongoing")) == ["s2"]


def test_removing_a_participant_is_confirmed_by_a_string(
    app: Flask, client: FlaskClient, engine: Any, come: Callable[..., Call]
) -> None:
    ann, bob = come("ann"), come("bob")
    response = client.post(
        "/v2/sessions/participants/remove", json={"participantId": "ann", "roomId": ROOM}
    )
    assert response.status_code == 200
    assert response.mimetype == "application/json"
    assert response.json == "Participant removed from the session."
    assert engine.hung_up == [(ann.id, EndReason.REMOVED)]
    again = client.post(
        "/v2/sessions/participants/remove", json={"participantId": "ann", "sessionId": SESSION}
    )
    assert again.status_code == 404
    assert again.json["message"] == "This participant is not in the session."
    nobody = client.post("/v2/sessions/participants/remove", json={"roomId": ROOM})
    assert (nobody.status_code, nobody.json["message"]) == (400, "participantId is required.")
    nowhere = client.post("/v2/sessions/participants/remove", json={"participantId": "bob"})
    assert (nowhere.status_code, nowhere.json["message"]) == (400, "roomId is required.")
    assert services_of(app).stores.calls.get(bob.id).status is CallStatus.ANSWERED


def test_a_room_token_sees_and_touches_its_own_sessions_only(
    app: Flask, authorised: Callable[..., FlaskClient], come: Callable[..., Call], support: Room
) -> None:
    come("ann")
    bob = come("bob", "s2", "other")
    client = authorised(app, roomId="testing-room")
    assert ids(client.get("/v2/sessions")) == [SESSION]
    assert ids(client.get("/v2/sessions?roomId=testing-room")) == [SESSION]
    assert ids(client.get("/v2/sessions?query=other")) == []
    assert client.get("/v2/sessions?roomId=other").status_code == 403
    for path in (
        "s2",
        "s2/participants",
        "s2/participants/active",
        "s2/participants/bob",
        "s2/stats",
        "s2/participant/bob/stats",
    ):
        assert client.get(f"/v2/sessions/{path}").status_code == 403
        own = path.replace("s2", SESSION).replace("bob", "ann")
        assert client.get(f"/v2/sessions/{own}").status_code == 200
    for body in ({"roomId": "other"}, {"sessionId": "s2"}, {"roomId": ROOM, "sessionId": "s2"}):
        assert client.post("/v2/sessions/end", json=body).status_code == 403
        remove = {"participantId": "bob", **body}
        assert client.post("/v2/sessions/participants/remove", json=remove).status_code == 403
    assert services_of(app).stores.calls.get(bob.id).status is CallStatus.ANSWERED
    remove = {"participantId": "ann", "roomId": ROOM}
    assert client.post("/v2/sessions/participants/remove", json=remove).status_code == 200


def test_a_participant_token_sees_and_touches_that_participant_only(
    app: Flask, authorised: Callable[..., FlaskClient], come: Callable[..., Call]
) -> None:
    come("ann")
    come("bob")
    client = authorised(app, participantId="ann")
    for path in ("", "/", f"/{SESSION}", f"/{SESSION}/participants", f"/{SESSION}/stats"):
        assert client.get(f"/v2/sessions{path}").status_code == 403
    assert client.get(f"/v2/sessions/{SESSION}/participants/active").status_code == 403
    assert client.post("/v2/sessions/end", json={"roomId": ROOM}).status_code == 403
    for name, status in (("bob", 403), ("ann", 200)):
        own = client.get(f"/v2/sessions/{SESSION}/participants/{name}")
        assert own.status_code == status
        measured = client.get(f"/v2/sessions/{SESSION}/participant/{name}/stats")
        assert measured.status_code == status
        removed = client.post(
            "/v2/sessions/participants/remove", json={"participantId": name, "roomId": ROOM}
        )
        assert removed.status_code == status
