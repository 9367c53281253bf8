"""Dispatching an agent over HTTP: answers, errors and permissions."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from flask import Flask
from flask.testing import FlaskClient

from service.calls.waiting import MOST
from service.storage.database import Database
from service.web.services import services_of
from tests.support.agent_servers import AgentServer, agent_server
from tests.support.apps import build
from tests.support.clocks import FakeClock
from tests.support.keyrings import a_pair
from tests.support.records import an_agent

URL = "/v2/agent/dispatch"
PATIENCE = 20


@pytest.fixture
def app(sqlite_database: Database, clock: FakeClock) -> Flask:
    return an_app(sqlite_database, clock)


def an_app(database: Database, clock: FakeClock, **settings: Any) -> Flask:
    """An app that sends requests to this machine, where the agents of these tests are."""
    key = a_pair().private_pem()
    return build(database, clock, webhook_allow_private=True, webhook_private_key=key, **settings)


def employ(client: FlaskClient, program: AgentServer) -> str:
    agent = an_agent(url=program.url)
    services_of(client.application).stores.agents.add(agent)
    return agent.id


@pytest.mark.parametrize("url", [URL, "/v2/agent/connect"])
def test_accepting_agent_is_assigned(client: FlaskClient, url: str) -> None:
    with agent_server() as program:
        agent_id = employ(client, program)
        body = {
            "agentId": agent_id,
            "meetingId": "abcd-efgh-ijkl",
            "roomId": "abcd-efgh-ijkl",
            "metadata": {"variables": [{"name": "fname", "value": "ankit"}]},
        }
        response = client.post(url, json=body)
        assert response.status_code == 200
        asked = program.wait_for(1)
    job_id = response.json["data"]["jobId"]
    assert response.data == orjson.dumps(
        {
            "message": "Agent dispatch requested successfully.",
            "data": {
                "success": True,
                "status": "assigned",
                "roomId": "abcd-efgh-ijkl",
                "agentId": agent_id,
                "jobId": job_id,
            },
        }
    )
    assert re.fullmatch("dispatch_[a-z0-9]{16}", job_id)
    assert asked.headers["x-patchbay-dispatch"] == job_id
    assert asked.document["metadata"] == body["metadata"]
    assert asked.document["wsUrl"].startswith("wss://voice.example.com/videosdk?ref=vs_")


@pytest.mark.parametrize("name", ["meetingId", "roomId"])
def test_room_has_either_name_and_is_created_if_unknown(client: FlaskClient, name: str) -> None:
    room = client.post("/v2/rooms", json={"customRoomId": "known"}).json["roomId"]
    with agent_server() as program:
        agent_id = employ(client, program)
        for given, found in (("known", room), ("brand-new", "brand-new")):
            response = client.post(URL, json={"agentId": agent_id, name: given})
            assert response.json["data"]["roomId"] == found


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"agentId": None}, "agentId must not be null."),
        ({"agentId": 1}, "agentId must be a string."),
        ({"roomId": None}, "meetingId is required."),
        ({"roomId": "a b"}, "roomId must be 1 to 128 characters without white space or control "),
        ({"meetingId": "other"}, "roomId must be the same as meetingId."),
        ({"metadata": "m"}, "metadata must be a JSON object."),
        ({"metadata": {"a": "é" * 4_096}}, "metadata must be at most 8 KB of JSON."),
    ],
)
def test_wrong_field_is_400_and_asks_no_agent(
    client: FlaskClient, changes: dict[str, Any], sentence: str
) -> None:
    with agent_server() as program:
        body = {"agentId": employ(client, program), "roomId": "r1", **changes}
        response = client.post(URL, json=body)
        assert response.status_code == 400
        assert response.json["message"].startswith(sentence)
    assert program.asked == []


def test_an_agent_is_required(client: FlaskClient) -> None:
    response = client.post(URL, json={"roomId": "r1"})
    assert (response.status_code, response.json["message"]) == (400, "agentId is required.")


def test_an_unknown_agent_is_404(client: FlaskClient) -> None:
    response = client.post(URL, json={"agentId": "agent_other", "roomId": "r1"})
    assert response.status_code == 404
    assert response.json == {"message": "Agent not found", "statusCode": 404}


def test_fields_without_effect_are_named(client: FlaskClient) -> None:
    with agent_server() as program:
        body = {
            "agentId": employ(client, program),
            "roomId": "r1",
            "versionId": "v1",
            "versionTag": "latest",
            "wait": True,
            "roomOptions": {"autoEndSession": True},
            "sipOptions": {"callTo": "+14155550100"},
            "colour": "red",
        }
        warnings = client.post(URL, json=body).json["warnings"]
    assert warnings == [
        "Field colour is not known and was ignored.",
        *(
            f"{name} was accepted but is not acted on."
            for name in ("versionId", "versionTag", "wait", "roomOptions", "sipOptions")
        ),
    ]


def test_declining_agent_is_502_with_the_reason(app: Flask, client: FlaskClient) -> None:
    with agent_server(500) as program:
        agent_id = employ(client, program)
        response = client.post(URL, json={"agentId": agent_id, "roomId": "r1"})
    assert response.status_code == 502
    assert response.json == {
        "message": "The agent did not take the dispatch: answered 500.",
        "statusCode": 502,
    }
    assert services_of(app).stores.calls.live() == 0


def test_unreachable_agent_is_502_without_its_address(client: FlaskClient) -> None:
    with agent_server() as program:
        agent_id = employ(client, program)
    response = client.post(URL, json={"agentId": agent_id, "roomId": "r1"})
    assert response.status_code == 502
    assert "127.0.0.1" not in response.json["message"]


def test_full_server_and_closed_room_have_different_errors(
    sqlite_database: Database, clock: FakeClock, authorised: Callable[..., FlaskClient]
) -> None:
    app_for_one_call = an_app(sqlite_database, clock, max_calls=1)
    client = authorised(app_for_one_call)
    with agent_server() as program:
        agent_id = employ(client, program)
        for room in ("open", "closed"):
            services_of(app_for_one_call).stores.rooms.ensure(room, 1)
        client.post("/v2/rooms/closed", json={"status": "disabled"})
        closed = client.post(URL, json={"agentId": agent_id, "roomId": "closed"})
        assert closed.status_code == 403
        assert client.post(URL, json={"agentId": agent_id, "roomId": "open"}).status_code == 200
        full = client.post(URL, json={"agentId": agent_id, "roomId": "open"})
    assert full.status_code == 503
    assert full.headers["Retry-After"] == "5"
    assert len(program.asked) == 1


def test_too_many_waiting_dispatches_are_503(
    app: Flask, authorised: Callable[..., FlaskClient], client: FlaskClient
) -> None:
    wait = threading.Event()
    with agent_server(on_request=lambda _: wait.wait(PATIENCE) and None) as program:
        body = {"agentId": employ(client, program), "roomId": "r1"}
        threads = [
            threading.Thread(target=authorised(app).post, args=(URL,), kwargs={"json": body})
            for _ in range(MOST)
        ]
        for thread in threads:
            thread.start()
        program.wait_for(MOST)
        response = client.post(URL, json=body)
        wait.set()
        for thread in threads:
            thread.join(PATIENCE)
    assert response.status_code == 503
    assert response.json["message"] == "Too many requests are waiting for an answer already."


def test_a_room_token_sends_agents_into_its_room_only(
    client: FlaskClient, app: Flask, authorised: Callable[..., FlaskClient]
) -> None:
    with agent_server() as program:
        agent_id = employ(client, program)
        own = authorised(app, roomId="r1")
        assert own.post(URL, json={"agentId": agent_id, "roomId": "r2"}).status_code == 403
        assert program.asked == []
        assert own.post(URL, json={"agentId": agent_id, "roomId": "r1"}).status_code == 200


def test_participant_token_sends_no_agents(
    client: FlaskClient, app: Flask, authorised: Callable[..., FlaskClient]
) -> None:
    with agent_server() as program:
        body = {"agentId": employ(client, program), "roomId": "r1"}
        one = authorised(app, participantId="ann", roomId="r1")
        assert one.post(URL, json=body).status_code == 403
    assert program.asked == []
