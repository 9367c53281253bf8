"""``/metrics``: permissions, and metrics of the API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask, request
from flask.testing import FlaskClient

from service.errors import ServiceError
from service.media.engine.stats import EngineStats
from service.storage.database import Database
from tests.support.apps import ScriptedEngine, change_settings
from tests.support.missing_tables import missing_table

TOKEN = "a-token-for-prometheus"


@pytest.fixture
def guarded(app: Flask) -> Flask:
    """An app with a ``METRICS_TOKEN``."""
    change_settings(app, metrics_token=TOKEN)
    return app


def ask(app: Flask, authorization: str) -> int:
    headers = {"Authorization": authorization} if authorization else {}
    return app.test_client().get("/metrics", headers=headers).status_code


def test_a_token_of_the_account_reads_them(client: FlaskClient) -> None:
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer.content_type == "text/plain; version=0.0.4; charset=utf-8"
    assert "patchbay_calls_limit 200.0\n" in answer.text
    assert "process_" in answer.text


@pytest.mark.parametrize(
    "authorization", [f"Bearer {TOKEN}", f"bearer  {TOKEN}", f"Bearer\t{TOKEN}"]
)
def test_the_metrics_token_reads_them_and_nothing_else(guarded: Flask, authorization: str) -> None:
    assert ask(guarded, authorization) == 200
    answer = guarded.test_client().get("/v2/rooms", headers={"Authorization": authorization})
    assert answer.status_code == 401


@pytest.mark.parametrize(
    "authorization",
    ["", TOKEN, "Bearer", "Bearer ", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer ü"],
)
def test_other_tokens_do_not(guarded: Flask, authorization: str) -> None:
    assert ask(guarded, authorization) == 401


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer ", "Bearer None"])
def test_metrics_token_without_the_setting_is_refused(app: Flask, authorization: str) -> None:
    assert ask(app, authorization) == 401


@pytest.mark.parametrize("claims", [{"roomId": "abcd-efgh-ijkl"}, {"participantId": "ann"}])
def test_tied_token_is_refused(
    app: Flask, authorised: Callable[..., FlaskClient], claims: dict[str, str]
) -> None:
    assert authorised(app, **claims).get("/metrics").status_code == 403


def a_connector(client: FlaskClient) -> str:
    body = {"provider": "twilio", "defaultRoomId": "demo-room-0001"}
    answer: Any = client.post("/v2/connectors", json=body).json
    return str(answer["data"]["webhookUrl"]).removeprefix("https://voice.example.com")


def test_webhooks_are_timed_by_outcome(client: FlaskClient) -> None:
    address = a_connector(client)
    form = {"CallSid": "CA1", "From": "+14155550100", "To": "+14155550199"}
    assert client.post(address, data=form).status_code == 200
    assert client.post(address, data={}).status_code == 400
    assert client.post("/v2/hooks/twilio/whk_none", data=form).status_code == 404
    text = client.get("/metrics").text
    name = "patchbay_webhook_answer_seconds_count"
    assert f'{name}{{outcome="answered",provider="twilio"}} 1.0\n' in text
    assert f'{name}{{outcome="refused",provider="twilio"}} 1.0\n' in text
    assert f'{name}{{outcome="refused",provider="unknown"}} 1.0\n' in text


def test_failed_webhook_is_counted_where_the_caller_hears_busy(
    client: FlaskClient, sqlite_database: Database
) -> None:
    address = a_connector(client)
    form = {"CallSid": "CA1", "From": "+14155550100", "To": "+14155550199"}
    with missing_table(sqlite_database, "calls"):
        assert client.post(address, data=form).status_code == 200
        text = client.get("/metrics").text
    assert 'patchbay_webhook_answer_seconds_count{outcome="failed",provider="twilio"} 1.0\n' in text
    assert "patchbay_database_up 0.0\n" in text


def test_a_webhook_that_the_application_refuses_is_counted_too(
    app: Flask, client: FlaskClient
) -> None:
    @app.before_request
    def refuse() -> None:
        if request.path.startswith("/v2/hooks/"):
            raise ServiceError("Not now.")

    assert client.post(a_connector(client)).status_code == 500
    name = "patchbay_webhook_answer_seconds_count"
    text = client.get("/metrics").text
    assert f'{name}{{outcome="failed",provider="unknown"}} 1.0\n' in text


def test_calls_are_counted_when_they_are_turned_away_or_ended(client: FlaskClient) -> None:
    address = a_connector(client)
    form = {"CallSid": "CA1", "From": "+14155550100", "To": "+14155550199"}
    client.post(address, data=form)
    assert "patchbay_calls 1.0\n" in client.get("/metrics").text
    call: Any = client.get("/v2/sip/call").json
    client.post("/v2/sip/call/end", json={"callId": call["data"][0]["callId"]})
    text = client.get("/metrics").text
    assert "patchbay_calls 0.0\n" in text
    assert 'patchbay_calls_ended_total{provider="twilio",reason="ended-by-api"} 1.0\n' in text


def test_silent_engine_hides_no_other_metrics(client: FlaskClient, engine: ScriptedEngine) -> None:
    engine.counted = EngineStats(sockets=12)
    assert "patchbay_sockets 12.0\n" in client.get("/metrics").text
    engine.answers = False
    text = client.get("/metrics").text
    assert "patchbay_engine_up 0.0\n" in text
    assert "patchbay_calls 0.0\n" in text
