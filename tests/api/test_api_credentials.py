"""Credentials of connectors over the API: write-only, per provider, two at a time, and locked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from service.domain.connectors import Connector
from service.storage.connectors import Connectors
from service.storage.database import Database
from service.web.services import services_of
from tests.support.apps import build
from tests.support.clocks import FakeClock
from tests.support.records import a_connector

ACCOUNT = "AC" + "0" * 32
TOKEN, NEXT = "0123456789abcdef" * 2, "fedcba9876543210" * 2
PUBLIC = "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="
GOOD: list[tuple[str, dict[str, Any]]] = [
    ("twilio", {"accountSid": ACCOUNT, "authToken": TOKEN}),
    ("plivo", {"authId": "MAXXXXXXXXXXXXXXXXXX", "authToken": TOKEN}),
    ("telnyx", {"apiKey": "KEY0123", "publicKey": PUBLIC}),
    (
        "telnyx",
        {
            "apiKey": "KEY0123",
            "accountSid": "6a9a-7976",
            "applicationId": "1494404757140276705",
            "publicKey": PUBLIC,
        },
    ),
]
BAD: list[tuple[str, object, str]] = [
    ("twilio", "token", "credentials must be a JSON object."),
    ("twilio", ["authToken"], "credentials must be a JSON object."),
    (
        "twilio",
        {"authId": "MAXXXXXXXXXXXXXXXXXX"},
        "credentials.authId is not one of accountSid, authToken.",
    ),
    (
        "telnyx",
        {"authToken": TOKEN},
        "credentials.authToken is not one of publicKey, apiKey, accountSid, applicationId.",
    ),
    (
        "twilio",
        {"authToken": [TOKEN, NEXT, "third"]},
        "credentials.authToken must be a string, or a list of at most 2.",
    ),
    (
        "twilio",
        {"authToken": []},
        "credentials.authToken must be a string, or a list of at most 2.",
    ),
    (
        "twilio",
        {"authToken": {"value": TOKEN}},
        "credentials.authToken must be a string, or a list of at most 2.",
    ),
    (
        "twilio",
        {"authToken": [TOKEN, 7]},
        "credentials.authToken must be a string, or a list of at most 2.",
    ),
    (
        "twilio",
        {"accountSid": "AC1"},
        "credentials.accountSid must be AC and 32 hexadecimal digits.",
    ),
    (
        "plivo",
        {"authToken": ""},
        "credentials.authToken must be 1 to 256 characters without white space.",
    ),
    (
        "telnyx",
        {"publicKey": [PUBLIC, "KEY0123"]},
        "credentials.publicKey must be 32 bytes in base64, as the portal shows the public key.",
    ),
]


@pytest.fixture
def create(client: FlaskClient) -> Callable[..., dict[str, Any]]:
    """A function that creates a connector; the whole answer."""

    def make(provider: str = "twilio", **fields: object) -> dict[str, Any]:
        answer = client.post("/v2/connectors", json={"provider": provider, **fields})
        assert answer.status_code == 201, answer.json
        body: dict[str, Any] = answer.json
        return body

    return make


def stored(app: Flask, answer: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    return dict(services_of(app).stores.connectors.get(answer["data"]["id"]).credentials)


@pytest.mark.parametrize(("provider", "credentials"), GOOD)
def test_answers_contain_names_and_no_values(
    client: FlaskClient,
    app: Flask,
    create: Callable[..., dict[str, Any]],
    provider: str,
    credentials: dict[str, str],
) -> None:
    answer = create(provider, credentials=credentials)
    assert list(answer["data"])[-1] == "credentials"
    assert answer["data"]["credentials"] == sorted(credentials)
    assert "warnings" not in answer
    assert stored(app, answer) == {name: (value,) for name, value in credentials.items()}
    path = f"/v2/connectors/{answer['data']['id']}"
    for response in (
        client.get(path),
        client.get("/v2/connectors"),
        client.patch(path, json={"name": "New"}),
        client.patch(path, json={"credentials": credentials}),
        client.post(f"{path}/rotate-key"),
        client.delete(path),
    ):
        assert response.status_code == 200
        for value in credentials.values():
            assert value not in response.text


@pytest.mark.parametrize(("provider", "credentials", "sentence"), BAD)
def test_invalid_credential_is_refused_and_not_quoted(
    client: FlaskClient,
    create: Callable[..., dict[str, Any]],
    provider: str,
    credentials: object,
    sentence: str,
) -> None:
    path = f"/v2/connectors/{create(provider)['data']['id']}"
    for response in (
        client.post("/v2/connectors", json={"provider": provider, "credentials": credentials}),
        client.patch(path, json={"credentials": credentials}),
    ):
        assert (response.status_code, response.json["message"]) == (400, sentence)
        assert list(response.json["errors"]) == [sentence.partition(" ")[0]]
        assert TOKEN not in response.text


@pytest.mark.parametrize("credentials", [None, {}, {"authToken": None}])
def test_null_and_empty_mean_no_credentials(
    create: Callable[..., dict[str, Any]], credentials: object
) -> None:
    assert create(credentials=credentials)["data"]["credentials"] == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, {"accountSid": (ACCOUNT,), "authToken": (TOKEN,)}),
        ({"authToken": NEXT}, {"accountSid": (ACCOUNT,), "authToken": (NEXT,)}),
        ({"authToken": [NEXT, TOKEN]}, {"accountSid": (ACCOUNT,), "authToken": (NEXT, TOKEN)}),
        ({"authToken": [NEXT, NEXT]}, {"accountSid": (ACCOUNT,), "authToken": (NEXT,)}),
        ({"authToken": f" {NEXT}\n"}, {"accountSid": (ACCOUNT,), "authToken": (NEXT,)}),
        ({"accountSid": None}, {"authToken": (TOKEN,)}),
        ({"accountSid": None, "authToken": None}, {}),
        (None, {}),
    ],
)
def test_a_change_is_merged_by_name(
    client: FlaskClient,
    app: Flask,
    create: Callable[..., dict[str, Any]],
    change: object,
    expected: dict[str, tuple[str, ...]],
) -> None:
    answer = create(credentials=GOOD[0][1])
    path = f"/v2/connectors/{answer['data']['id']}"
    changed = client.patch(path, json={"credentials": change})
    assert changed.status_code == 200
    assert changed.json["data"]["credentials"] == list(expected)
    assert stored(app, answer) == expected


def test_a_change_of_something_else_keeps_them(
    client: FlaskClient, app: Flask, create: Callable[..., dict[str, Any]]
) -> None:
    answer = create(credentials=GOOD[0][1])
    client.patch(f"/v2/connectors/{answer['data']['id']}", json={"name": "New"})
    assert stored(app, answer) == {"accountSid": (ACCOUNT,), "authToken": (TOKEN,)}


def test_warning_where_credentials_check_no_signatures(
    client: FlaskClient, create: Callable[..., dict[str, Any]]
) -> None:
    answer = create("telnyx", credentials={"apiKey": "KEY0123"})
    sentence = f"Signatures are not checked for {answer['data']['id']}: that needs publicKey."
    assert answer["warnings"] == [sentence]
    assert client.get("/v2/connectors").json["warnings"] == [sentence]


def test_database_and_log_contain_no_secret(
    own_sqlite: Database,
    authorised: Callable[..., FlaskClient],
    clock: FakeClock,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG")
    app = build(own_sqlite, clock)
    body = {"provider": "twilio", "credentials": GOOD[0][1]}
    assert authorised(app).post("/v2/connectors", json=body).status_code == 201
    for connector in services_of(app).stores.connectors.all():
        assert TOKEN not in repr(connector)
    own_sqlite.close()
    files = list(tmp_path.glob("patchbay.db*"))
    assert files
    for path in files:
        assert TOKEN.encode() not in path.read_bytes()
        assert ACCOUNT.encode() not in path.read_bytes()
    assert TOKEN not in caplog.text


@pytest.fixture
def locked(sqlite_database: Database) -> Connector:
    """A connector whose credentials were stored under another ``API_SECRET``."""
    connector = a_connector(credentials={"authToken": (TOKEN,)})
    Connectors(sqlite_database, "another").add(connector)
    return connector


def test_a_locked_connector_is_listed_with_a_warning_changed_and_deleted(
    client: FlaskClient, locked: Connector
) -> None:
    path = f"/v2/connectors/{locked.id}"
    sentence = (
        f"The credentials of {locked.id} cannot be read with this API_SECRET: set them again; "
        "until then all its webhooks are refused."
    )
    for response in (
        client.get("/v2/connectors"),
        client.get(path),
        client.patch(path, json={"name": "New"}),
        client.post(f"{path}/rotate-key"),
    ):
        assert (response.status_code, response.json["warnings"]) == (200, [sentence])
    assert client.get(path).json["data"]["credentials"] == []
    assert client.delete(path).status_code == 200


@pytest.mark.parametrize("change", [{"accountSid": ACCOUNT}, {"authToken": None}, {}])
def test_locked_connector_is_not_opened_by_a_partial_change(
    client: FlaskClient, app: Flask, locked: Connector, change: dict[str, Any]
) -> None:
    answer = client.patch(f"/v2/connectors/{locked.id}", json={"credentials": change})
    assert answer.status_code == 409
    assert answer.json["message"] == (
        "The stored credentials cannot be read with this API_SECRET: send all of accountSid, "
        "authToken that you use, or credentials null to remove them."
    )
    assert services_of(app).stores.connectors.get(locked.id).locked


@pytest.mark.parametrize("change", [{"authToken": NEXT}, None])
def test_a_locked_connector_is_usable_once_its_credentials_are_set_again(
    client: FlaskClient, app: Flask, locked: Connector, change: dict[str, str] | None
) -> None:
    answer = client.patch(f"/v2/connectors/{locked.id}", json={"credentials": change})
    assert answer.status_code == 200
    sentence = (
        f"The webhook key of {locked.id} cannot be read with this API_SECRET. It works as before; "
        "rotate it to be told one."
    )
    assert answer.json["warnings"] == [sentence]
    assert answer.json["data"]["credentials"] == sorted(change or {})
    assert not services_of(app).stores.connectors.get(locked.id).locked
    rotated = client.post(f"/v2/connectors/{locked.id}/rotate-key")
    assert "warnings" not in rotated.json
