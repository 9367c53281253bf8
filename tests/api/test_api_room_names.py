"""Names of rooms and participants in addresses."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urljoin

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import example, given
from hypothesis import strategies as st
from werkzeug.exceptions import HTTPException

from service.api import register
from service.domain.rooms import is_addressable, is_addressable_participant
from service.web.services import services_of

REFUSED = [
    *("deactivate", "validate", "validate/x", "validate/x/y", "x/webhook/deliveries"),
    *("x/webhook/deliveries/y", "x/y/webhook/deliveries"),
    *(".", "..", "a/../b", "a/./b", "./a", "a/..", "/a"),
]
ACCEPTED = [
    *("validated", "validate/", "deactivate/x", "a/b", "webhook/deliveries"),
    *("...", "a.b", "é"),
]
PARTS = ["deactivate", "validate", "webhook", "deliveries", "redeliver", "x", ".", "..", "...", ""]

SENTENCE = "must not be a name that an address of the API has, such as deactivate."


@pytest.fixture(scope="module")
def routes() -> Any:
    app = Flask("routes", static_folder=None)
    register(app)
    return app.url_map.bind("voice.example.com")


def leads_to_the_room(routes: Any, name: str) -> bool:
    base = "https://voice.example.com"
    # As clients do, which take dots out of a path.
    path = urljoin(base, f"/v2/rooms/{quote(name)}").removeprefix(base)
    if path != f"/v2/rooms/{quote(name)}":
        return False
    try:
        found = {method: routes.match(f"/v2/rooms/{name}", method) for method in ("GET", "POST")}
    except HTTPException:
        return False
    there = {"room_id": name}
    for path, endpoint in (
        (f"/v2/rooms/{name}/webhook/deliveries", "room_deliveries.index_of_room"),
        (f"/v2/rooms/validate/{name}", "rooms.validate"),
    ):
        try:
            if routes.match(path, "GET") != (endpoint, there):
                return False
        except HTTPException:
            return False
    return found == {"GET": ("rooms.get", there), "POST": ("rooms.update", there)}


@given(st.lists(st.sampled_from(PARTS), min_size=1, max_size=4).map("/".join).filter(bool))
@example("validate/")
def test_every_accepted_name_addresses_its_room(routes: Any, name: str) -> None:
    if is_addressable(name):
        assert leads_to_the_room(routes, name)


def filled(rule: str) -> str:
    return re.sub("<[^>]+>", "x", rule)


def test_every_address_below_rooms_is_refused_as_a_name(routes: Any) -> None:
    for rule in routes.map.iter_rules():
        if rule.rule.startswith("/v2/rooms/") and rule.rule != "/v2/rooms/<room:room_id>":
            address = filled(rule.rule)
            assert not is_addressable(address.removeprefix("/v2/rooms/")), rule
            for method in rule.methods - {"OPTIONS"}:
                assert routes.match(address, method)[0] == rule.endpoint


def test_every_address_below_participants_is_refused_as_an_id(routes: Any) -> None:
    above = "/v2/sessions/x/participants/"
    for rule in routes.map.iter_rules():
        address = filled(rule.rule)
        if address.startswith(above) and "<name:participant_id>" not in rule.rule:
            assert not is_addressable_participant(address.removeprefix(above)), rule


@pytest.mark.parametrize("name", REFUSED)
def test_refused_names_address_something_else(routes: Any, name: str) -> None:
    assert not is_addressable(name)
    assert not leads_to_the_room(routes, name)


@pytest.mark.parametrize("name", ACCEPTED)
def test_names_similar_to_addresses_are_accepted(client: FlaskClient, name: str) -> None:
    made = client.post("/v2/rooms", json={"customRoomId": name})
    assert made.status_code == 200
    assert client.get(f"/v2/rooms/{quote(name)}").json == made.json
    assert client.get(f"/v2/rooms/validate/{quote(name)}").json == made.json


RULE = {"name": "R", "type": "inbound", "phoneNumbers": []}
ENTRANCES: dict[str, Callable[[str], tuple[str, dict[str, Any], str]]] = {
    "a new room": lambda name: ("/v2/rooms", {"customRoomId": name}, "customRoomId"),
    "a ticket": lambda name: ("/v2/ingest/sessions", {"roomId": name}, "roomId"),
    "a connector": lambda name: (
        "/v2/connectors",
        {"provider": "twilio", "defaultRoomId": name},
        "defaultRoomId",
    ),
    "a rule": lambda name: (
        "/v2/sip/routing-rule",
        {**RULE, "room": {"type": "static", "id": name}},
        "room.id",
    ),
    "an agent": lambda name: ("/v2/agent/dispatch", {"agentId": "ag_1", "roomId": name}, "roomId"),
    "an agent in a meeting": lambda name: (
        "/v2/agent/connect",
        {"agentId": "ag_1", "meetingId": name},
        "meetingId",
    ),
    "a move": lambda name: ("/v2/sip/call/switch-room", {"callId": "c1", "roomId": name}, "roomId"),
    "a placed call": lambda name: (
        "/v2/sip/call",
        {"sipCallTo": "+14155550100", "destinationRoomId": name},
        "destinationRoomId",
    ),
}


@pytest.mark.parametrize("entrance", ENTRANCES.values(), ids=ENTRANCES.keys())
def test_no_request_creates_an_unreadable_room(
    app: Flask, client: FlaskClient, entrance: Callable[[str], tuple[str, dict[str, Any], str]]
) -> None:
    for name in REFUSED:
        path, body, field = entrance(name)
        answer = client.post(path, json=body)
        assert (answer.status_code, answer.json["message"]) == (400, f"{field} {SENTENCE}"), name
    assert services_of(app).stores.rooms.page().total == 0


def test_older_room_with_such_a_name_is_read_by_its_other_names(
    app: Flask, client: FlaskClient
) -> None:
    rooms = services_of(app).stores.rooms
    room = rooms.ensure("deactivate", 1)
    assert client.get(f"/v2/rooms/{room.object_id}").json["roomId"] == "deactivate"
    assert client.get("/v2/rooms").json["data"][0]["roomId"] == "deactivate"
    assert client.post("/v2/rooms/deactivate", json={"roomId": "deactivate"}).status_code == 200


@pytest.mark.parametrize("participant_id", ["active", ".", "..", "a/../b"])
def test_no_request_creates_an_unreadable_participant(
    app: Flask, client: FlaskClient, participant_id: str
) -> None:
    assert not is_addressable_participant(participant_id)
    for path, body, field in (
        (
            "/v2/ingest/sessions",
            {"roomId": "r", "participant": {"id": participant_id}},
            "participant.id",
        ),
        (
            "/v2/sip/call",
            {"sipCallTo": "+14155550100", "participant": {"id": participant_id}},
            "participant.id",
        ),
        (
            "/v2/sip/call/switch-room",
            {"callId": "c1", "roomId": "r", "participantId": participant_id},
            "participantId",
        ),
    ):
        answer = client.post(path, json=body)
        assert (answer.status_code, answer.json["message"]) == (
            400,
            f"{field} must not be an id that an address of the API has, such as active.",
        )


@pytest.mark.parametrize("participant_id", ["actives", "active/", "a/b", "stats", "..."])
def test_other_participant_ids_address_them(routes: Any, participant_id: str) -> None:
    assert is_addressable_participant(participant_id)
    assert routes.match(f"/v2/sessions/s1/participants/{participant_id}", "GET") == (
        "sessions.participant",
        {"session_id": "s1", "participant_id": participant_id},
    )
