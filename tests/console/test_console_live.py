"""Endpoints of the live page and the loudness plot, and the live socket's access checks."""

from __future__ import annotations

import logging
import socket

import pytest
from flask import Flask
from flask.testing import FlaskClient

from service.domain.calls import EndReason
from service.domain.loudness import Loudness
from service.security.failure_limit import BURST
from service.storage.calls.calls import Calls
from service.storage.calls.loudness import LoudnessRecords
from service.storage.database import Database
from service.web.services import services_of
from tests.support.apps import API_KEY, API_SECRET, PUBLIC_URL, ScriptedEngine, build
from tests.support.clocks import FakeClock
from tests.support.records import a_call

LIVE = "/console/api/live"
HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


@pytest.fixture
def app(sqlite_database: Database, clock: FakeClock) -> Flask:
    return build(sqlite_database, clock)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A client with a console session."""
    client = app.test_client()
    client.post("/console/api/session", json={"apiKey": API_KEY, "apiSecret": API_SECRET})
    return client


@pytest.fixture
def calls(sqlite_database: Database) -> Calls:
    calls = Calls(sqlite_database)
    calls.admit(a_call(id="c1", provider_call_id="1"), None, 10)
    return calls


@pytest.mark.parametrize(
    "path", [f"{LIVE}/calls", f"{LIVE}/calls/by-room", "/console/api/calls/c1/loudness"]
)
def test_live_data_requires_a_session(app: Flask, path: str) -> None:
    assert app.test_client().get(path).status_code == 401


def test_list_has_the_fields_of_a_call(client: FlaskClient, calls: Calls) -> None:
    answer = client.get(f"{LIVE}/calls").json
    call = a_call()
    assert answer["total"] == 1
    assert answer["data"] == [
        {
            "id": "c1",
            "provider": "twilio",
            "type": "inbound",
            "from": call.caller,
            "to": call.callee,
            "roomId": call.room_id,
            "status": "incoming",
            "participantId": call.participant.id,
            "participantName": call.participant.name,
            "start": call.started_at,
            "answered": None,
            "detached": None,
            "joined": None,
            "node": None,
        }
    ]


def test_list_can_be_limited_to_one_room(client: FlaskClient, calls: Calls) -> None:
    calls.admit(a_call(id="c2", provider_call_id="2", room_id="another"), None, 10)
    answer = client.get(f"{LIVE}/calls?roomId=another").json
    assert ([call["id"] for call in answer["data"]], answer["total"]) == (["c2"], 1)
    assert client.get(f"{LIVE}/calls?roomId=%00").status_code == 400
    assert client.get(f"{LIVE}/calls/by-room").json["data"] == {}
    nowhere = client.get(f"{LIVE}/calls?roomId=nowhere").json
    assert (nowhere["data"], nowhere["total"]) == ([], 0)


def test_loudness_covers_ended_legs_and_the_current_one(
    app: Flask, client: FlaskClient, calls: Calls, sqlite_database: Database
) -> None:
    LoudnessRecords(sqlite_database).add("c1", Loudness("leg-1", 1_000, b"\xff\x00", b"\x00\xf0"))
    engine: ScriptedEngine = services_of(app).engine
    engine.loud["c1"] = Loudness("leg-2", 5_000, b"\x01", b"\x00")
    assert client.get("/console/api/calls/c1/loudness").json["data"] == [
        {"legId": "leg-1", "start": 1_000, "step": 1_000, "said": [0, None], "heard": [None, -7.5]},
        {"legId": "leg-2", "start": 5_000, "step": 1_000, "said": [-127], "heard": [None]},
    ]
    engine.answers = False
    found = client.get("/console/api/calls/c1/loudness").json["data"]
    assert [record["legId"] for record in found] == ["leg-1"]


def test_engine_is_not_asked_about_an_ended_call(
    app: Flask, client: FlaskClient, calls: Calls
) -> None:
    engine: ScriptedEngine = services_of(app).engine
    engine.loud["c1"] = Loudness("leg-2", 5_000, b"\x01", b"\x00")
    calls.end("c1", EndReason.ENDED_BY_API, 3)
    assert client.get("/console/api/calls/c1/loudness").json["data"] == []


def test_loudness_of_an_unknown_call_is_404(client: FlaskClient) -> None:
    assert client.get("/console/api/calls/nobody/loudness").status_code == 404


@pytest.mark.parametrize(
    "origin",
    [
        None,
        "null",
        "https://evil.example",
        "http://localhost.evil.example",
        "localhost",
        "http://localhost:81",
        "http://[",
        "file://",
    ],
)
def test_page_of_another_host_gets_no_socket(client: FlaskClient, origin: str | None) -> None:
    headers = HANDSHAKE if origin is None else {**HANDSHAKE, "Origin": origin}
    result = handshake(client, headers)
    assert result == (403, "Origin header must be that of this host.")


def test_handshake_of_a_stranger_is_no_warning_and_a_failure_of_its_address(
    app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    headers = {**HANDSHAKE, "Origin": "https://evil.example"}
    statuses = [handshake(app.test_client(), headers)[0] for _ in range(BURST + 1)]
    assert (statuses[0], statuses[-1]) == (401, 429)
    warned = {record.name for record in caplog.records if record.levelno >= logging.WARNING}
    assert warned == {"service.security.failure_limit"}


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://localhost", "localhost"),
        ("http://localhost", "LocalHost:80"),
        ("https://front.example", "Front.Example:443"),
        ("https://xn--gre-6ka8l.example", "xn--gre-6ka8l.example."),
        ("http://voice_1:8000", "voice_1:8000"),
        (PUBLIC_URL, "localhost"),
        ("https://VOICE.example.com:443", "localhost"),
    ],
)
def test_page_of_this_host_needs_the_cookie(app: Flask, origin: str, host: str) -> None:
    status, _ = handshake(app.test_client(), {**HANDSHAKE, "Origin": origin, "Host": host})
    assert status == 401


def test_draining_process_refuses_the_socket(app: Flask, client: FlaskClient) -> None:
    services_of(app).serving.begin_drain()
    status, _ = handshake(client, {**HANDSHAKE, "Origin": "http://localhost"})
    assert status == 503


def test_invalid_handshake_is_rejected(client: FlaskClient) -> None:
    headers = {**HANDSHAKE, "Sec-WebSocket-Version": "8", "Origin": "http://localhost"}
    assert handshake(client, headers) == (400, "Sec-WebSocket-Version must be 13.")


def handshake(client: FlaskClient, headers: dict[str, str]) -> tuple[int, str]:
    """Attempt a handshake, and return the status and message of the response."""
    with socket.socket() as own:
        answer = client.get(LIVE, headers=headers, environ_base={"werkzeug.socket": own})
    return answer.status_code, answer.json["message"]
