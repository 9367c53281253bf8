"""The webhook endpoints: the object, both spellings of its id, and errors."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from flask import Flask
from flask.testing import FlaskClient

from service.domain.webhook_events import CallEvent
from tests.support.apps import change_settings
from tests.support.clocks import FakeClock

ADDRESS = "/v2/sip/webhooks"
URL = "https://example.com/calls"
EVENTS = ["call-started", "call-hangup"]
NAMES = ", ".join(["*", *CallEvent])


@pytest.fixture
def create(client: FlaskClient) -> Callable[..., dict[str, Any]]:
    def make(**fields: Any) -> dict[str, Any]:
        response = client.post(ADDRESS, json={"url": URL, "events": EVENTS, **fields})
        assert response.status_code == 201
        webhook: dict[str, Any] = response.json
        return webhook

    return make


def test_a_webhook_is_answered_at_top_level_with_both_ids(client: FlaskClient) -> None:
    response = client.post(ADDRESS, json={"url": URL, "events": EVENTS})
    assert response.status_code == 201
    webhook = response.json
    assert re.fullmatch("wh_[a-z0-9]{16}", webhook["id"])
    assert response.data == orjson.dumps(
        {
            "id": webhook["id"],
            "webhookId": webhook["id"],
            "url": URL,
            "events": EVENTS,
            "createdAt": "2026-06-21T14:30:45.123Z",
            "updatedAt": "2026-06-21T14:30:45.123Z",
        }
    )
    assert client.get(f"{ADDRESS}/{webhook['id']}").json == webhook


def test_an_asterisk_stands_for_all_events(create: Callable[..., dict[str, Any]]) -> None:
    webhook = create(events=["*"])
    assert webhook["events"] == list(CallEvent)
    assert "warnings" not in webhook


def test_events_that_never_occur_are_named(create: Callable[..., dict[str, Any]]) -> None:
    webhook = create(events=["call-transfer-ringing", "call-started", "call-transfer-accepted"])
    assert webhook["events"][0] == "call-transfer-ringing"
    (warning,) = webhook["warnings"]
    assert warning == (
        "No provider tells of call-transfer-ringing and call-transfer-accepted, so that this never "
        "occurs here."
    )


@pytest.mark.parametrize(
    ("fields", "name", "predicate"),
    [
        ({"url": None}, "url", "must not be null."),
        ({"url": 1}, "url", "must be a string."),
        *[
            ({"url": bad}, "url", "must be an http or https URL.")
            for bad in (
                "",
                "example.com",
                "ftp://example.com",
                "https://",
                "https://example.com:0",
                "https://example.com:x",
                "https://[",
                "https://grüße.example.com",
                "https://example.com/a b",
            )
        ],
        ({"url": "https://example.com/\n"}, "url", "must not contain control characters."),
        (
            {"url": "https://example.com/" + "x" * 493},
            "url",
            "must be at most 512 characters long.",
        ),
        *[
            (
                {"url": f"https://{user}@example.com"},
                "url",
                "must not hold a user or password, which could be read here.",
            )
            for user in ("ann", "ann:secret", ":secret", "")
        ],
        ({"events": None}, "events", "must not be null."),
        ({"events": "*"}, "events", "must be an array."),
        ({"events": []}, "events", "must name an event."),
        ({"events": [1]}, "events.0", "must be a string."),
        (
            {"events": ["call-started", "call-begun"]},
            "events.1",
            f"must be one of {NAMES}, not call-begun.",
        ),
        (
            {"events": ["session-started"]},
            "events.0",
            f"must be one of {NAMES}, not session-started.",
        ),
        ({"events": ["call-started"] * 2}, "events", "must name no event twice."),
        ({"events": ["*", "call-started"]}, "events", "must name nothing beside *."),
    ],
)
def test_a_wrong_field_is_400_and_named_and_changes_nothing(
    client: FlaskClient,
    create: Callable[..., dict[str, Any]],
    fields: dict[str, Any],
    name: str,
    predicate: str,
) -> None:
    webhook = create()
    address = f"{ADDRESS}/{webhook['id']}"
    body = {"url": URL, "events": EVENTS, **fields}
    for response in (
        client.post(ADDRESS, json=body),
        client.put(address, json=body),
        client.patch(address, json=fields),
    ):
        assert response.status_code == 400
        assert response.json["message"] == f"{name} {predicate}"
    assert client.get(ADDRESS).json["data"] == [webhook]


PRIVATE = [
    "http://localhost:9000/x",
    "https://LocalHost.",
    "https://patchbay.localhost",
    "http://127.0.0.1",
    "http://127.200.0.9:8080",
    "http://10.1.2.3",
    "http://192.168.0.1",
    "http://169.254.169.254/latest/meta-data",
    "http://0.0.0.0",
    "http://[::1]:8000",
    "http://[::ffff:127.0.0.1]",
    "http://[fd00::1]",
]
PUBLIC = ["http://8.8.8.8", "http://[2606:4700::1111]", "https://localhost.example.com"]


def refuses_private(client: FlaskClient, url: str) -> bool:
    """Whether a webhook and the webhook of a room are refused this URL, for one reason."""
    refusal = "must not lead to this machine or its network, unless WEBHOOK_ALLOW_PRIVATE is on."
    call = client.post(ADDRESS, json={"url": url, "events": ["*"]})
    room = client.post("/v2/rooms", json={"webhook": {"endPoint": url, "events": ["*"]}})
    if (call.status_code, room.status_code) == (201, 200):
        return False
    assert (call.status_code, room.status_code) == (400, 400)
    assert call.json["message"] == f"url {refusal}"
    assert room.json["message"] == f"webhook.endPoint {refusal}"
    return True


@pytest.mark.parametrize("url", PRIVATE)
def test_private_address_is_refused_without_the_setting(
    app: Flask, client: FlaskClient, url: str
) -> None:
    assert refuses_private(client, url)
    change_settings(app, webhook_allow_private=True)
    assert not refuses_private(client, url)


@pytest.mark.parametrize("url", PUBLIC)
def test_public_addresses_and_all_names_are_accepted(client: FlaskClient, url: str) -> None:
    assert not refuses_private(client, url)


def test_create_and_replace_require_both_fields(
    client: FlaskClient, create: Callable[..., dict[str, Any]]
) -> None:
    address = f"{ADDRESS}/{create()['id']}"
    for fields, name in (({"url": URL}, "events"), ({"events": EVENTS}, "url")):
        for response in (client.post(ADDRESS, json=fields), client.put(address, json=fields)):
            assert (response.status_code, response.json["message"]) == (400, f"{name} is required.")


@pytest.mark.parametrize(
    ("method", "changes"),
    [
        ("PUT", {"url": "http://example.org:8080/x?y=1", "events": ["call-missed"]}),
        ("PATCH", {"url": "http://example.org:8080/x?y=1", "events": ["call-missed"]}),
        ("PATCH", {"url": "https://example.org"}),
        ("PATCH", {"events": ["call-answered", "call-update"]}),
    ],
)
def test_given_fields_are_changed(
    client: FlaskClient,
    clock: FakeClock,
    create: Callable[..., dict[str, Any]],
    method: str,
    changes: dict[str, Any],
) -> None:
    webhook = create()
    clock.advance(1)
    address = f"{ADDRESS}/{webhook['id']}"
    response = client.open(address, method=method, json=changes)
    assert response.status_code == 200
    assert response.json == {**webhook, **changes, "updatedAt": "2026-06-21T14:30:46.123Z"}
    assert client.get(address).json == response.json


def test_a_change_of_nothing_is_400(
    client: FlaskClient, create: Callable[..., dict[str, Any]]
) -> None:
    address = f"{ADDRESS}/{create()['id']}"
    for fields in ({}, {"name": "x"}):
        response = client.patch(address, json=fields)
        assert response.status_code == 400
        assert response.json["message"] == "No editable fields provided"


def test_the_list_holds_the_same_objects_newest_first(
    client: FlaskClient, create: Callable[..., dict[str, Any]]
) -> None:
    first, second = create(), create(url="https://example.org")
    assert client.get(ADDRESS).json == {
        "pageInfo": {"currentPage": 1, "perPage": 20, "lastPage": 1, "total": 2},
        "data": [second, first],
    }
    assert client.get(f"{ADDRESS}?perPage=1&page=2").json["data"] == [first]
    assert client.get(f"{ADDRESS}?search=.ORG").json["data"] == [second]
    assert client.get(f"{ADDRESS}?search=nothing").json["pageInfo"]["total"] == 0
    assert client.get(f"{ADDRESS}?page=0").status_code == 400


def test_deleted_webhook_is_404(client: FlaskClient, create: Callable[..., dict[str, Any]]) -> None:
    address = f"{ADDRESS}/{create()['id']}"
    response = client.delete(address)
    assert response.status_code == 200
    assert response.json == {"message": "Webhook deleted successfully"}
    body = {"url": URL, "events": EVENTS}
    for method in ("GET", "PUT", "PATCH", "DELETE"):
        gone = client.open(address, method=method, json=None if method == "GET" else body)
        assert gone.status_code == 404
        assert gone.json == {"message": "Webhook not found", "statusCode": 404}
    assert client.get(ADDRESS).json["data"] == []


def test_webhooks_are_kept_on_each_database(
    app_on_each_database: Flask, authorised: Callable[..., FlaskClient]
) -> None:
    client = authorised(app_on_each_database)
    webhook = client.post(ADDRESS, json={"url": URL, "events": ["*"]}).json
    assert client.get(f"{ADDRESS}?search=CALLS").json["data"] == [webhook]
