"""The room endpoints: the object, its names, options and permissions."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from flask import Flask
from flask.testing import FlaskClient

from service.domain.calls import CallStatus, EndReason
from service.web.services import services_of
from tests.support.clocks import FakeClock

IDENTIFIER = "must be 1 to 128 characters without white space or control characters."
DOCUMENTED = {
    "customRoomId": "final-testing",
    "geoFence": "us002",
    "webhook": {"endPoint": "https://e/x", "events": ["session-*"]},
    "autoCloseConfig": {"type": "session-ends", "duration": 60},
}


@pytest.fixture
def create(client: FlaskClient) -> Callable[..., dict[str, Any]]:
    def make(**fields: Any) -> dict[str, Any]:
        response = client.post("/v2/rooms", json=fields)
        assert response.status_code == 200
        room: dict[str, Any] = response.json
        return room

    return make


def test_room_is_answered_at_top_level_in_documented_order(client: FlaskClient) -> None:
    response = client.post("/v2/rooms", json=DOCUMENTED)
    assert response.status_code == 200
    room = response.json
    assert re.fullmatch("[0-9a-f]{24}", room["id"])
    assert re.fullmatch("[0-9a-f]{24}", room["userId"])
    assert re.fullmatch("[a-z0-9]{4}(-[a-z0-9]{4}){2}", room["roomId"])
    assert response.data == orjson.dumps(
        {
            "id": room["id"],
            "roomId": room["roomId"],
            "customRoomId": "final-testing",
            "userId": room["userId"],
            "geoFence": "us002",
            "disabled": False,
            "webhook": {"endPoint": "https://e/x", "events": ["session-*"]},
            "autoCloseConfig": {"type": "session-ends", "duration": 60},
            "allowedParticipantIds": [],
            "createdAt": "2026-06-21T14:30:45.123Z",
            "updatedAt": "2026-06-21T14:30:45.123Z",
            "links": {
                "get_room": f"https://voice.example.com/v2/rooms/{room['roomId']}",
                "get_session": "https://voice.example.com/v2/sessions/",
            },
        }
    )


def test_request_without_body_creates_a_room(client: FlaskClient) -> None:
    response = client.post("/v2/rooms")
    assert response.status_code == 200
    for name in ("customRoomId", "geoFence", "webhook", "autoCloseConfig"):
        assert response.json[name] is None
    assert "warnings" not in response.json


def test_null_means_absent(create: Callable[..., dict[str, Any]]) -> None:
    fields = dict.fromkeys(
        ("customRoomId", "geoFence", "webhook", "autoCloseConfig", "autoStartConfig",
         "multiComposition", "allowedParticipantIds")
    )  # fmt: skip
    room = create(**fields)
    assert room["allowedParticipantIds"] == []
    assert "autoStartConfig" not in room
    assert "warnings" not in room


def test_every_room_has_the_same_user(create: Callable[..., dict[str, Any]]) -> None:
    assert create()["userId"] == create()["userId"]


def test_a_custom_room_id_gives_the_same_room_again(create: Callable[..., dict[str, Any]]) -> None:
    first = create(customRoomId="c1", geoFence="us002")
    assert create(customRoomId="c1") == first
    other = create(customRoomId="c1", webhook={"endPoint": "https://e"}, geoFence="us002")
    assert other == {
        **first,
        "warnings": ["A room of this customRoomId exists already and was left as it is."],
    }


@pytest.mark.parametrize(
    ("config", "kept"),
    [
        ({}, {"type": "session-ends", "duration": 480}),
        ({"duration": 3}, {"type": "session-ends", "duration": 3}),
        (
            {"type": "session-end-and-deactivate"},
            {"type": "session-end-and-deactivate", "duration": 480},
        ),
    ],
)
def test_auto_close_has_the_documented_defaults(
    create: Callable[..., dict[str, Any]], config: dict[str, Any], kept: dict[str, Any]
) -> None:
    assert create(autoCloseConfig=config)["autoCloseConfig"] == kept


def test_options_without_effect_are_stored_with_a_warning(
    client: FlaskClient, create: Callable[..., dict[str, Any]]
) -> None:
    start = {"recording": {"config": {"layout": {"type": "GRID"}}}, "hls": {}}
    room = create(autoStartConfig=start, multiComposition={"hls": True}, region="sg001")
    assert (room["autoStartConfig"], room["multiComposition"]) == (start, {"hls": True})
    assert [sentence.split()[0] for sentence in room["warnings"]] == [
        "Field",
        "autoStartConfig",
        "multiComposition",
    ]
    again = client.get(f"/v2/rooms/{room['roomId']}").json
    assert again == {name: value for name, value in room.items() if name != "warnings"}


@pytest.mark.parametrize(
    ("events", "warnings"),
    [
        (["*"], None),
        (["session-started", "participant-*", "agent*"], None),
        (
            ["recording-*", "session*", "call-*"],
            ["webhook.events has recording-*, call-*, of which nothing occurs in rooms here."],
        ),
        ([], ["webhook.events is empty, so that the webhook is told of nothing."]),
        (None, ["webhook.events is empty, so that the webhook is told of nothing."]),
    ],
)
def test_webhook_is_stored_with_a_warning_of_unknown_events(
    create: Callable[..., dict[str, Any]], events: list[str] | None, warnings: list[str] | None
) -> None:
    room = create(webhook={"endPoint": "https://e/x", "events": events})
    assert room["webhook"] == {"endPoint": "https://e/x", "events": events or []}
    assert room.get("warnings") == warnings


@pytest.mark.parametrize(
    ("fields", "name", "predicate"),
    [
        ({"customRoomId": ""}, "customRoomId", IDENTIFIER),
        ({"customRoomId": "a b"}, "customRoomId", IDENTIFIER),
        ({"customRoomId": 1}, "customRoomId", "must be a string."),
        ({"geoFence": "x" * 33}, "geoFence", "must be at most 32 characters long."),
        ({"webhook": "https://e"}, "webhook", "must be a JSON object."),
        ({"webhook": {}}, "webhook.endPoint", "is required."),
        *[
            ({"webhook": {"endPoint": bad}}, "webhook.endPoint", "must be an http or https URL.")
            for bad in (
                "",
                "e/x",
                "ftp://e/x",
                "https://",
                "https://e:x",
                "https://[",
                "http://a b",
            )
        ],
        (
            {"webhook": {"endPoint": "https://e/" + "x" * 512}},
            "webhook.endPoint",
            "must be at most 512 characters long.",
        ),
        (
            {"webhook": {"endPoint": "https://e", "events": "*"}},
            "webhook.events",
            "must be a JSON array.",
        ),
        (
            {"webhook": {"endPoint": "https://e", "events": [1]}},
            "webhook.events.0",
            "must be a string.",
        ),
        *[
            (
                {"webhook": {"endPoint": "https://e", "events": ["session-*", bad]}},
                "webhook.events.1",
                "must be the name of an event, or its beginning and an asterisk.",
            )
            for bad in ("", "*-started", "session-.*", "Session-*", "a b", "x" * 65)
        ],
        (
            {"webhook": {"endPoint": "https://user:secret@e/x"}},
            "webhook.endPoint",
            "must not hold a user or password, which could be read here.",
        ),
        (
            {"autoCloseConfig": {"type": "never"}},
            "autoCloseConfig.type",
            "must be one of session-ends, session-end-and-deactivate.",
        ),
        *[
            (
                {"autoCloseConfig": {"duration": bad}},
                "autoCloseConfig.duration",
                "must be a whole number of minutes up to 525600.",
            )
            for bad in (0, -1, 525_601, 2**60)
        ],
        *[
            (
                {"autoCloseConfig": {"duration": bad}},
                "autoCloseConfig.duration",
                "must be a whole number.",
            )
            for bad in ("60", 1.5, True, [60])
        ],
        ({"autoCloseConfig": {"duration": None}}, "autoCloseConfig.duration", "must not be null."),
        ({"allowedParticipantIds": "ann"}, "allowedParticipantIds", "must be a JSON array."),
        ({"allowedParticipantIds": ["a b"]}, "allowedParticipantIds.0", IDENTIFIER),
        ({"autoStartConfig": True}, "autoStartConfig", "must be a JSON object."),
        ({"multiComposition": []}, "multiComposition", "must be a JSON object."),
    ],
)
def test_wrong_field_is_400_and_creates_nothing(
    client: FlaskClient, fields: dict[str, Any], name: str, predicate: str
) -> None:
    response = client.post("/v2/rooms", json=fields)
    assert response.status_code == 400
    assert response.json["message"] == f"{name} {predicate}"
    assert client.get("/v2/rooms").json["pageInfo"]["total"] == 0


def test_a_room_is_read_by_each_of_its_names(
    client: FlaskClient, create: Callable[..., dict[str, Any]]
) -> None:
    room = create(customRoomId="sip:+1/415")
    for name in (room["id"], room["roomId"], "sip:+1%2F415"):
        assert client.get(f"/v2/rooms/{name}").json == room
    response = client.get("/v2/rooms/nobody")
    assert response.status_code == 404
    assert response.json == {"message": "Room not found.", "statusCode": 404}


def test_validating_an_unknown_room_is_400(
    client: FlaskClient, create: Callable[..., dict[str, Any]]
) -> None:
    room = create(customRoomId="c/1")
    for name in (room["roomId"], "c%2F1"):
        for method in ("GET", "POST"):
            response = client.open(f"/v2/rooms/validate/{name}", method=method)
            assert (response.status_code, response.json) == (200, room)
    response = client.get("/v2/rooms/validate/nobody")
    assert (response.status_code, response.json["message"]) == (400, "Room not found.")
    response = client.get("/v2/rooms/validate/no%20body")
    assert (response.status_code, response.json["message"]) == (400, "RoomId is invalid.")


def test_the_list_holds_the_same_object_newest_first(
    client: FlaskClient, create: Callable[..., dict[str, Any]]
) -> None:
    first, second = create(customRoomId="c1"), create()
    assert client.get("/v2/rooms").json == {
        "pageInfo": {"currentPage": 1, "perPage": 20, "lastPage": 1, "total": 2},
        "data": [second, first],
    }
    assert client.get("/v2/rooms?perPage=1&page=2").json["data"] == [first]
    for query in ("c1", first["roomId"]):
        assert client.get(f"/v2/rooms?query={query}").json["data"] == [first]
    assert client.get("/v2/rooms?query=c").json["data"] == []
    assert client.get("/v2/rooms?page=0").status_code == 400


def test_deactivating_answers_with_both_spellings_and_ends_the_calls(
    app: Flask, client: FlaskClient, engine: Any, create: Callable[..., dict[str, Any]]
) -> None:
    room = create(customRoomId="c1")
    session = client.post("/v2/ingest/sessions", json={"roomId": "c1"}).json["data"]
    response = client.post("/v2/rooms/deactivate", json={"roomId": room["roomId"]})
    assert response.status_code == 200
    closed = {**room, "disabled": True, "meetingId": room["roomId"], "userMeetingId": "c1"}
    assert response.json == closed
    call = services_of(app).stores.calls.get(session["callId"])
    assert (call.status, call.end_reason) == (CallStatus.ENDED, EndReason.ROOM_DEACTIVATED)
    assert engine.hung_up == [(call.id, EndReason.ROOM_DEACTIVATED)]
    again = client.post("/v2/rooms/deactivate", json={"roomId": room["roomId"]})
    assert (again.status_code, again.json) == (200, closed)


def test_deactivating_accepts_the_room_id_only(
    client: FlaskClient, create: Callable[..., dict[str, Any]]
) -> None:
    room = create(customRoomId="c1")
    for name in ("c1", room["id"]):
        response = client.post("/v2/rooms/deactivate", json={"roomId": name})
        assert response.status_code == response.json["statusCode"] == 402
    assert client.post("/v2/rooms/deactivate", json={"roomId": "nobody"}).status_code == 404
    missing = client.post("/v2/rooms/deactivate")
    assert (missing.status_code, missing.json["message"]) == (400, "roomId is required.")
    assert client.get("/v2/rooms/c1").json["disabled"] is False


def test_room_is_deactivated_and_activated_by_its_status(
    client: FlaskClient, clock: FakeClock, create: Callable[..., dict[str, Any]]
) -> None:
    room = create()
    address = f"/v2/rooms/{room['roomId']}"
    clock.advance(1)
    assert client.post(address, json={"status": "disabled"}).json["disabled"] is True
    refused = client.post("/v2/ingest/sessions", json={"roomId": room["roomId"]})
    assert refused.status_code == 403
    assert refused.json["message"] == "This room is deactivated: nobody can join it."
    enabled = client.post(address, json={"status": "enabled"}).json
    assert enabled == {**room, "updatedAt": "2026-06-21T14:30:46.123Z"}
    again = client.post("/v2/ingest/sessions", json={"roomId": room["roomId"]})
    assert again.status_code == 201
    wrong = client.post(address, json={"status": "closed"})
    assert (wrong.status_code, wrong.json["message"]) == (
        400,
        "status must be one of enabled, disabled.",
    )
    assert client.post("/v2/rooms/nobody", json={"status": "enabled"}).status_code == 404


def test_ingest_session_creates_an_unknown_room(client: FlaskClient) -> None:
    assert client.post("/v2/ingest/sessions", json={"roomId": "brand-new"}).status_code == 201
    room = client.get("/v2/rooms/brand-new").json
    assert (room["roomId"], room["customRoomId"]) == ("brand-new", None)


def test_ingest_session_has_the_room_id(
    client: FlaskClient, create: Callable[..., dict[str, Any]]
) -> None:
    room = create(customRoomId="c1")
    data = client.post("/v2/ingest/sessions", json={"roomId": "c1"}).json["data"]
    assert data["roomId"] == room["roomId"]


def test_only_allowed_participants_get_a_ticket(
    client: FlaskClient, create: Callable[..., dict[str, Any]]
) -> None:
    room = create(allowedParticipantIds=["ann"])

    def ask(**fields: Any) -> Any:
        return client.post("/v2/ingest/sessions", json={"roomId": room["roomId"], **fields})

    assert ask(participant={"id": "ann"}).status_code == 201
    for fields in ({}, {"participant": {"id": "bob"}}):
        refused = ask(**fields)
        assert refused.status_code == 403
        assert refused.json["message"] == "This room does not allow a participant of this id."


@pytest.mark.parametrize("name", ["roomId", "customRoomId"])
def test_a_room_token_reaches_its_own_room_only(
    app: Flask,
    authorised: Callable[..., FlaskClient],
    create: Callable[..., dict[str, Any]],
    name: str,
) -> None:
    mine, other = create(customRoomId="mine"), create(customRoomId="other")
    client = authorised(app, roomId=mine[name])
    assert client.get("/v2/rooms").json["data"] == [mine]
    assert client.get(f"/v2/rooms?query={other['roomId']}").json["data"] == []
    for own in (mine["roomId"], "mine", mine["id"]):
        assert client.get(f"/v2/rooms/{own}").status_code == 200
        assert client.get(f"/v2/rooms/validate/{own}").status_code == 200
        assert client.post("/v2/ingest/sessions", json={"roomId": own}).status_code == 201
    for stranger in (other["roomId"], "other", other["id"], "nobody"):
        assert client.get(f"/v2/rooms/{stranger}").status_code == 403
        assert client.get(f"/v2/rooms/validate/{stranger}").status_code == 403
        assert client.post("/v2/rooms/deactivate", json={"roomId": stranger}).status_code == 403
        disable = client.post(f"/v2/rooms/{stranger}", json={"status": "disabled"})
        assert disable.status_code == 403
        assert client.post("/v2/ingest/sessions", json={"roomId": stranger}).status_code == 403
    assert client.post("/v2/rooms", json={"customRoomId": "mine"}).status_code == 403
    assert client.get("/v2/sip/call?roomId=mine").status_code == 200
    assert client.get("/v2/sip/call?roomId=other").status_code == 403
    closed = client.post("/v2/rooms/deactivate", json={"roomId": mine["roomId"]})
    assert closed.status_code == 200


def test_a_participant_token_reaches_no_room(
    app: Flask, authorised: Callable[..., FlaskClient], create: Callable[..., dict[str, Any]]
) -> None:
    room = create()
    client = authorised(app, participantId="ann", roomId=room["roomId"])
    for response in (
        client.get("/v2/rooms"),
        client.post("/v2/rooms"),
        client.get(f"/v2/rooms/{room['roomId']}"),
        client.get(f"/v2/rooms/validate/{room['roomId']}"),
        client.post("/v2/rooms/deactivate", json={"roomId": room["roomId"]}),
        client.post(f"/v2/rooms/{room['roomId']}", json={"status": "disabled"}),
    ):
        assert response.status_code == 403
