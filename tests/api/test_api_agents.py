"""The agent endpoints: the object, validation and permissions."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.support.apps import change_settings
from tests.support.clocks import FakeClock

GOOD = {"name": "Echo", "url": "https://agents.example.com/join"}


@pytest.fixture
def create(client: FlaskClient) -> Callable[..., dict[str, Any]]:
    def make(**fields: Any) -> dict[str, Any]:
        response = client.post("/v2/agents", json={**GOOD, **fields})
        assert response.status_code == 201
        agent: dict[str, Any] = response.json["data"]
        return agent

    return make


def test_an_agent_is_answered_in_the_order_of_its_members(client: FlaskClient) -> None:
    response = client.post("/v2/agents", json=GOOD)
    assert response.status_code == 201
    agent = response.json["data"]
    assert re.fullmatch("agent_[a-z0-9]{16}", agent["id"])
    assert response.data == orjson.dumps(
        {
            "message": "Agent created successfully",
            "data": {
                "id": agent["id"],
                "agentId": agent["id"],
                "name": "Echo",
                "url": "https://agents.example.com/join",
                "createdAt": "2026-06-21T14:30:45.123Z",
                "updatedAt": "2026-06-21T14:30:45.123Z",
            },
        }
    )
    assert client.get(f"/v2/agents/{agent['id']}").json == {
        "message": "Agent retrieved successfully",
        "data": agent,
    }


def test_sent_id_is_ignored(client: FlaskClient) -> None:
    response = client.post("/v2/agents", json={**GOOD, "id": "agent_mine"})
    assert response.json["data"]["id"] != "agent_mine"
    assert response.json["warnings"] == ["Field id is not known and was ignored."]


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"name": None}, "name must not be null."),
        ({"name": ""}, "name must not be empty."),
        ({"name": "n" * 129}, "name must be at most 128 characters long."),
        ({"name": "\x07"}, "name must not contain control characters."),
        ({"name": 1}, "name must be a string."),
        ({"url": None}, "url must not be null."),
        ({"url": 1}, "url must be a string."),
        ({"url": f"https://e/{'x' * 512}"}, "url must be at most 512 characters long."),
        ({"url": "ftp://example.com"}, "url must be an http or https URL."),
        ({"url": "https:///join"}, "url must be an http or https URL."),
        ({"url": "join"}, "url must be an http or https URL."),
        (
            {"url": "https://ann:secret@example.com/join"},
            "url must not hold a user or password, which could be read here.",
        ),
    ],
)
def test_a_wrong_field_is_400_and_named(
    client: FlaskClient, create: Callable[..., dict[str, Any]], fields: Any, sentence: str
) -> None:
    for response in (
        client.post("/v2/agents", json={**GOOD, **fields}),
        client.patch(f"/v2/agents/{create()['id']}", json=fields),
    ):
        assert (response.status_code, response.json["message"]) == (400, sentence)
    assert client.get("/v2/agents").json["pageInfo"]["total"] == 1


def test_private_address_needs_the_setting(app: Flask, client: FlaskClient) -> None:
    private = {**GOOD, "url": "http://127.0.0.1:9000/join"}
    refused = client.post("/v2/agents", json=private)
    assert refused.status_code == 400
    assert refused.json["message"].startswith("url must not lead to this machine")
    assert "WEBHOOK_ALLOW_PRIVATE" in refused.json["message"]
    change_settings(app, webhook_allow_private=True)
    assert client.post("/v2/agents", json=private).status_code == 201


@pytest.mark.parametrize("name", ["name", "url"])
def test_name_and_url_are_both_required(client: FlaskClient, name: str) -> None:
    response = client.post("/v2/agents", json={key: GOOD[key] for key in GOOD if key != name})
    assert (response.status_code, response.json["message"]) == (400, f"{name} is required.")


def test_the_list_is_paged_and_newest_first(
    client: FlaskClient, create: Callable[..., dict[str, Any]]
) -> None:
    agents = [create(name=f"Agent {number}") for number in range(3)]
    assert client.get("/v2/agents").json == {
        "message": "Agents retrieved successfully",
        "pageInfo": {"currentPage": 1, "perPage": 20, "lastPage": 1, "total": 3},
        "data": agents[::-1],
    }
    assert client.get("/v2/agents?page=2&perPage=2").json["data"] == agents[:1]
    assert client.get("/v2/agents?search=agent%201").json["data"] == [agents[1]]


def test_update_changes_only_the_sent_fields(
    client: FlaskClient, create: Callable[..., dict[str, Any]], clock: FakeClock
) -> None:
    agent = create()
    clock.advance(1)
    response = client.patch(f"/v2/agents/{agent['id']}", json={"url": "http://other.example.com"})
    assert response.json == {
        "message": "Agent updated successfully",
        "data": {
            **agent,
            "url": "http://other.example.com",
            "updatedAt": "2026-06-21T14:30:46.123Z",
        },
    }
    renamed = client.patch(f"/v2/agents/{agent['id']}", json={"name": "New"}).json["data"]
    assert (renamed["name"], renamed["url"]) == ("New", "http://other.example.com")


@pytest.mark.parametrize("fields", [{}, {"id": "agent_mine"}])
def test_a_change_of_nothing_is_400(
    client: FlaskClient, create: Callable[..., dict[str, Any]], fields: dict[str, Any]
) -> None:
    response = client.patch(f"/v2/agents/{create()['id']}", json=fields)
    assert response.status_code == 400
    assert response.json["message"] == "No editable fields provided"


def test_a_deleted_agent_is_gone(
    client: FlaskClient, create: Callable[..., dict[str, Any]]
) -> None:
    address = f"/v2/agents/{create()['id']}"
    assert client.delete(address).json == {"message": "Agent deleted successfully"}
    for response in (client.get(address), client.patch(address, json=GOOD), client.delete(address)):
        assert (response.status_code, response.json["message"]) == (404, "Agent not found")


@pytest.mark.parametrize("claims", [{"roomId": "r1"}, {"participantId": "p1"}])
def test_tied_tokens_reach_no_agent(
    app: Flask, authorised: Callable[..., FlaskClient], claims: dict[str, str]
) -> None:
    client = authorised(app, **claims)
    assert client.get("/v2/agents").status_code == 403
    assert client.post("/v2/agents", json=GOOD).status_code == 403
