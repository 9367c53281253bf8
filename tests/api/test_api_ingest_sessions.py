"""Ingest sessions: the ticket, its defaults and permissions."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from uuid import UUID

import orjson
import pytest
from flask import Flask
from flask.testing import FlaskClient

from service.domain.agents import Assignment
from service.domain.calls import Call, Participant
from service.web.services import services_of
from tests.support.apps import change_settings

IDENTIFIER = "must be 1 to 128 characters without white space or control characters."


def nested(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = [value]
    return value


BAD: list[tuple[dict[str, object], str, str]] = [
    ({}, "roomId", "is required."),
    ({"roomId": None}, "roomId", "must not be null."),
    ({"roomId": 1}, "roomId", "must be a string."),
    ({"roomId": ""}, "roomId", IDENTIFIER),
    ({"roomId": "a b"}, "roomId", IDENTIFIER),
    ({"roomId": "a\x00"}, "roomId", IDENTIFIER),
    ({"roomId": "r" * 129}, "roomId", IDENTIFIER),
    ({"region": 1}, "region", "must be a string."),
    ({"region": "r" * 33}, "region", "must be at most 32 characters long."),
    ({"region": "\x00"}, "region", "must not contain control characters."),
    ({"participant": "p"}, "participant", "must be a JSON object."),
    ({"participant": [{}]}, "participant", "must be a JSON object."),
    ({"participant": {"id": 1}}, "participant.id", "must be a string."),
    ({"participant": {"id": ""}}, "participant.id", IDENTIFIER),
    ({"participant": {"id": "a\tb"}}, "participant.id", IDENTIFIER),
    ({"participant": {"id": "a\u2028b"}}, "participant.id", IDENTIFIER),
    ({"participant": {"id": "p" * 129}}, "participant.id", IDENTIFIER),
    ({"participant": {"name": 1}}, "participant.name", "must be a string."),
    (
        {"participant": {"name": "n" * 129}},
        "participant.name",
        "must be at most 128 characters long.",
    ),
    ({"participant": {"name": "\x07"}}, "participant.name", "must not contain control characters."),
    ({"participant": {"metadata": "m"}}, "participant.metadata", "must be a JSON object."),
    ({"participant": {"metadata": [1]}}, "participant.metadata", "must be a JSON object."),
    (
        {"participant": {"metadata": {"a": "é" * 4_096}}},
        "participant.metadata",
        "must be at most 8 KB of JSON.",
    ),
    (
        {"participant": {"metadata": {"a": nested(16)}}},
        "participant.metadata",
        "must not be nested deeper than 16 levels.",
    ),
    (
        {"participant": {"metadata": {"a": {"b": [2**64 - 1]}}}},
        "participant.metadata",
        "must not contain numbers beyond 64 bits.",
    ),
    ({"agent": "a"}, "agent", "must be a JSON object."),
    ({"agent": {}}, "agent.id", "is required."),
    ({"agent": {"id": None}}, "agent.id", "must not be null."),
    ({"agent": {"id": 1}}, "agent.id", "must be a string."),
    ({"agent": {"id": "a b"}}, "agent.id", IDENTIFIER),
    ({"agent": {"id": "a", "type": 1}}, "agent.type", "must be a string."),
    ({"agent": {"id": "a", "metadata": 1}}, "agent.metadata", "must be a JSON object."),
]


def stored(app: Flask, response: Any) -> Call:
    assert response.status_code == 201
    call: Call = services_of(app).stores.calls.get(response.json["data"]["callId"])
    return call


def test_a_session_is_answered_with_its_socket_and_call(client: FlaskClient) -> None:
    response = client.post("/v2/ingest/sessions", json={"roomId": "abcd-efgh-ijkl"})
    assert response.status_code == 201
    data = response.json["data"]
    ref = data["wsUrl"].removeprefix("wss://voice.example.com/videosdk?ref=")
    assert re.fullmatch(r"vs_[a-z0-9]{20}", ref)
    assert str(UUID(data["callId"])) == data["callId"]
    assert response.data == orjson.dumps(
        {
            "message": "Ingest session created",
            "data": {
                "wsUrl": data["wsUrl"],
                "callId": data["callId"],
                "roomId": "abcd-efgh-ijkl",
                "expiresIn": 90,
            },
        }
    )


def test_socket_without_public_url_has_the_requested_host(
    app_without_public_url: Flask, authorised: Callable[..., FlaskClient]
) -> None:
    response = authorised(app_without_public_url).post(
        "/v2/ingest/sessions", json={"roomId": "r"}, headers={"Host": "127.0.0.1:8000"}
    )
    assert response.json["data"]["wsUrl"].startswith("ws://127.0.0.1:8000/videosdk?ref=vs_")


def test_participant_and_region_are_kept(app: Flask, client: FlaskClient) -> None:
    body = {
        "roomId": "r1",
        "participant": {"id": "p", "name": "N", "metadata": {"a": {"b": [1, None]}}},
        "region": "in002",
    }
    call = stored(app, client.post("/v2/ingest/sessions", json=body))
    assert call.participant == Participant("p", "N", {"a": {"b": [1, None]}})
    assert (call.room_id, call.region) == ("r1", "in002")


@pytest.mark.parametrize(
    "participant", [None, {}, {"id": None, "name": None, "metadata": None}, {"name": ""}]
)
def test_a_participant_has_defaults(
    app: Flask, client: FlaskClient, participant: dict[str, object] | None
) -> None:
    body = {"roomId": "r", "participant": participant}
    found = stored(app, client.post("/v2/ingest/sessions", json=body)).participant
    assert re.fullmatch(r"[a-z0-9]{8}", found.id)
    assert (found.name, found.metadata) == ("Socket Participant", {})


def test_an_agent_is_remembered_with_the_call(app: Flask, client: FlaskClient) -> None:
    agent = {"name": "Echo", "url": "https://agents.example.com"}
    agent_id = client.post("/v2/agents", json=agent).json["data"]["id"]
    body = {"roomId": "r1", "agent": {"id": agent_id, "type": "cloud", "metadata": {"x": 1}}}
    response = client.post("/v2/ingest/sessions", json=body)
    assert "warnings" not in response.json
    assert stored(app, response).agent == Assignment(
        agent_id, "https://voice.example.com", {"x": 1}
    )


def test_unknown_agent_is_ignored(app: Flask, client: FlaskClient) -> None:
    response = client.post("/v2/ingest/sessions", json={"roomId": "r1", "agent": {"id": "ag"}})
    assert stored(app, response).agent is None
    assert response.json["warnings"] == [
        "agent was ignored: its id names no agent that could be sent for."
    ]


@pytest.mark.parametrize(("fields", "name", "predicate"), BAD)
def test_a_wrong_field_is_400_and_named_and_opens_nothing(
    app: Flask, client: FlaskClient, fields: dict[str, object], name: str, predicate: str
) -> None:
    body = fields if name == "roomId" else {"roomId": "r", **fields}
    response = client.post("/v2/ingest/sessions", json=body)
    assert response.status_code == 400
    sentence = f"{name} {predicate}"
    assert response.json == {"message": sentence, "statusCode": 400, "errors": {name: [sentence]}}
    assert services_of(app).stores.calls.live() == 0


@pytest.mark.parametrize("number", [b"9223372036854775808", b"-1e30", b"1" * 300])
def test_number_beyond_64_bits_is_400(client: FlaskClient, number: bytes) -> None:
    raw = b'{"roomId":"r","participant":{"metadata":{"n":' + number + b"}}}"
    response = client.post("/v2/ingest/sessions", data=raw)
    assert response.status_code == 400
    assert response.json["message"] == (
        "participant.metadata must not contain numbers beyond 64 bits."
    )


def test_metadata_at_its_limits_is_returned_unchanged(
    app_on_each_database: Flask, authorised: Callable[..., FlaskClient]
) -> None:
    metadata = {
        "deep": nested(15),
        "int": 2**63 - 1,
        "float": 0.1,
        "nul": "\x00",
        "text": "☎ \u2028",
        "flags": [True, None],
        "": {},
    }
    metadata["pad"] = "x" * (8 * 1024 - len(orjson.dumps({**metadata, "pad": ""})))
    body = {"roomId": "r", "participant": {"metadata": metadata}}
    response = authorised(app_on_each_database).post("/v2/ingest/sessions", json=body)
    assert stored(app_on_each_database, response).participant.metadata == metadata


def test_full_server_is_503_with_retry_after(
    app_for_one_call: Flask, authorised: Callable[..., FlaskClient]
) -> None:
    client = authorised(app_for_one_call)
    assert client.post("/v2/ingest/sessions", json={"roomId": "r"}).status_code == 201
    response = client.post("/v2/ingest/sessions", json={"roomId": "r"})
    assert response.status_code == 503
    assert response.headers["Retry-After"] == "5"
    assert response.json == {"message": "All 1 calls are taken.", "statusCode": 503}


def test_a_room_token_opens_sessions_in_its_room_only(
    app: Flask, authorised: Callable[..., FlaskClient]
) -> None:
    client = authorised(app, roomId="r1")
    refused = client.post("/v2/ingest/sessions", json={"roomId": "r2"})
    assert refused.status_code == 403
    assert refused.json["message"] == "This token is only valid for another room."
    assert services_of(app).stores.calls.live() == 0
    assert client.post("/v2/ingest/sessions", json={"roomId": "r1"}).status_code == 201


def test_a_participant_token_names_the_participant(
    app: Flask, authorised: Callable[..., FlaskClient]
) -> None:
    response = authorised(app, participantId="p1").post("/v2/ingest/sessions", json={"roomId": "r"})
    assert stored(app, response).participant.id == "p1"


@pytest.mark.parametrize(("wanted", "status"), [("p1", 201), ("p2", 403), ("P1", 403)])
def test_a_participant_token_is_for_that_participant_only(
    app: Flask, authorised: Callable[..., FlaskClient], wanted: str, status: int
) -> None:
    response = authorised(app, participantId="p1").post(
        "/v2/ingest/sessions", json={"roomId": "r", "participant": {"id": wanted}}
    )
    assert response.status_code == status
    assert services_of(app).stores.calls.live() == (status == 201)


def test_the_socket_is_at_the_address_of_its_region(app: Flask, client: FlaskClient) -> None:
    change_settings(app, regions={"in002": "wss://in.example.com"})
    for region, base in (("in002", "wss://in.example.com"), (None, "wss://voice.example.com")):
        answer = client.post("/v2/ingest/sessions", json={"roomId": "r1", "region": region})
        assert answer.json["data"]["wsUrl"].startswith(f"{base}/videosdk?ref=vs_")
