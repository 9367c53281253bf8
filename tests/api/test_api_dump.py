"""A dump of the database contains no usable secret."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from service.domain import ids
from service.security import console_sessions
from service.storage.database import Database
from service.storage.tables import metadata
from service.web.services import services_of
from tests.support import signers
from tests.support.apps import API_SECRET
from tests.support.clocks import FakeClock
from tests.support.signers import FORM

PIN, AUTH_TOKEN, API_KEY = "4711471147114711", "auth" * 8, "KEY" + "x" * 40


def dump(database: Database) -> str:
    """Every value of every table."""
    with database.read() as connection:
        rows = [
            {name: repr(value) for name, value in row.items()}
            for table in metadata.sorted_tables
            for row in connection.execute(table.select()).mappings()
        ]
    return json.dumps(rows)


@pytest.fixture
def secrets(
    app_on_each_database: Flask,
    authorised: Callable[..., FlaskClient],
    database: Database,
    clock: FakeClock,
) -> dict[str, str]:
    """One secret of every kind, created as users and providers create them."""
    app = app_on_each_database
    client, stranger = authorised(app), app.test_client()

    def create(path: str, body: object) -> dict[str, str]:
        answer = client.post(path, json=body)
        assert answer.status_code in (200, 201), answer.text
        document: dict[str, str] = answer.json.get("data", answer.json)
        return document

    room = {"type": "dynamic", "prefix": "participantNumber", "pin": PIN}
    rule = {"name": "n", "type": "inbound", "phoneNumbers": ["+14155550199"], "room": room}
    create("/v2/sip/routing-rule", {**rule, "hidePhoneNumber": True})
    connector = create(
        "/v2/connectors",
        {
            "provider": "telnyx",
            "credentials": {"publicKey": signers.public_key(signers.TELNYX_KEY), "apiKey": API_KEY},
            "defaultRoomId": "r1",
        },
    )
    key = create(
        "/v2/connectors", {"provider": "twilio", "defaultRoomId": "r1", "credentials": {}}
    )["webhookUrl"].rpartition("/")[2]
    signed = create(
        "/v2/connectors", {"provider": "twilio", "credentials": {"authToken": AUTH_TOKEN}}
    )
    rotated = client.post(f"/v2/connectors/{signed['id']}/rotate-key").json["data"]
    call = {"CallSid": "CA1", "From": "+14155550100", "To": "+14155550101"}
    markup = stranger.post(f"/v2/hooks/twilio/{key}", data=call, content_type=FORM).text
    asked = {**call, "CallSid": "CA2", "To": "+14155550199"}
    question = stranger.post(f"/v2/hooks/twilio/{key}", data=asked, content_type=FORM).text
    assert "<Gather" in question
    path = re.search(r'action="https://[^/]+([^"]+)"', question)
    assert path is not None
    address = path[1].replace("&amp;", "&")
    entered = stranger.post(address, data={**asked, "Digits": PIN}, content_type=FORM).text
    refs = re.findall(r"/twilio/([A-Za-z0-9]{32})<?", markup + entered)
    assert len(refs) >= 2
    socket = create("/v2/ingest/sessions", {"roomId": "r1"})["wsUrl"]
    link = console_sessions.new_link_secret()
    services_of(app).stores.sign_in_links.add(ids.digest(link), clock.now(), clock.now() + 1)
    pair = services_of(app).stores.signing_keys.current()
    services_of(app).stores.secrets.of_rooms()
    found = {
        "API_SECRET": API_SECRET,
        "a webhook key": key,
        "another webhook key": connector["webhookUrl"].rpartition("/")[2],
        "a rotated webhook key": rotated["webhookUrl"].rpartition("/")[2],
        "a webhook key from before the rotation": signed["webhookUrl"].rpartition("/")[2],
        "a PIN": PIN,
        "an auth token": AUTH_TOKEN,
        "an API key": API_KEY,
        "the reference of an ingest session": socket.rpartition("=")[2],
        "a sign-in link": link,
        "a private key": pair.private_pem().splitlines()[1],
        "a token": client.environ_base["HTTP_AUTHORIZATION"],
        **{f"reference {number}": ref for number, ref in enumerate(refs)},
    }
    keys = re.findall(r"/v2/hooks/twilio/([A-Za-z0-9_]{20,})", markup + question + entered)
    return found | {f"key {number} in markup": each for number, each in enumerate(keys)}


def test_a_dump_of_all_tables_holds_no_secret(secrets: dict[str, str], database: Database) -> None:
    dumped = dump(database)
    assert all(secrets.values())
    assert "+14155550100" in dumped
    assert [name for name, secret in secrets.items() if secret in dumped] == []


def test_sqlite_files_contain_no_secret(
    secrets: dict[str, str], database: Database, request: pytest.FixtureRequest
) -> None:
    if not database._is_sqlite:
        return
    file = Path(str(database._url.database))
    held = b"".join(path.read_bytes() for path in file.parent.glob(f"{file.name}*"))
    assert b"+14155550100" in held
    assert [name for name, secret in secrets.items() if secret.encode() in held] == []
