"""Provider webhooks over HTTP: keys, bodies and failures."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from xml.etree.ElementTree import fromstring

import pytest
from flask import Flask
from flask.testing import FlaskClient

from service.domain.connectors import Connector
from service.storage.database import Database
from service.web.services import services_of
from tests.support.bodies import Broken
from tests.support.missing_tables import missing_table
from tests.support.records import a_connector, a_rule

CALL = {"CallSid": "CA1", "From": "+14155550100", "To": "+14155550199", "CallStatus": "ringing"}


@pytest.fixture
def connector(app: Flask) -> Connector:
    connector = a_connector()
    services_of(app).stores.connectors.add(connector)
    return connector


@pytest.fixture
def caller(app: Flask) -> FlaskClient:
    """A client without a token, as a provider is."""
    return app.test_client()


def hook(connector: Connector) -> str:
    return f"/v2/hooks/{connector.provider}/{connector.webhook_key}"


@pytest.mark.parametrize(
    "ask",
    [
        lambda client, url: client.post(url, data=CALL),
        lambda client, url: client.get(url, query_string=CALL),
        lambda client, url: client.post(url, query_string=CALL),
    ],
    ids=["POST", "GET", "POST with a query"],
)
def test_webhook_is_answered_with_uncacheable_markup(
    ask: Callable, caller: FlaskClient, connector: Connector
) -> None:
    answer = ask(caller, hook(connector))
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/xml; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-store"
    document = fromstring(answer.text)
    assert next(document.iter("Stream")).get("url").startswith("wss://voice.example.com/twilio/")
    again = document.findtext("Redirect")
    assert re.fullmatch(
        r"https://voice\.example\.com/v2/hooks/twilio/clk_[0-9a-f]{32}_[\w-]{36}", again
    )


@pytest.mark.parametrize(
    "path", ["/v2/hooks/twilio/whk_none", "/v2/hooks/plivo/{key}", "/v2/hooks/vonage/{key}"]
)
@pytest.mark.parametrize("ending", ["", "/gather", "/gather?try=1"])
def test_key_of_another_provider_is_404(
    path: str, ending: str, caller: FlaskClient, connector: Connector
) -> None:
    answer = caller.post(path.format(key=connector.webhook_key) + ending, data=CALL)
    assert (answer.status_code, answer.json["statusCode"]) == (404, 404)


def test_request_without_a_call_id_is_400(caller: FlaskClient, connector: Connector) -> None:
    answer = caller.post(hook(connector), data={"From": "+14155550100"})
    assert (answer.status_code, answer.json["message"]) == (400, "CallSid is missing.")


def test_incomplete_form_is_400(caller: FlaskClient, connector: Connector) -> None:
    answer = caller.post(
        hook(connector),
        content_type="application/x-www-form-urlencoded",
        environ_overrides={
            "HTTP_TRANSFER_ENCODING": "chunked",
            "wsgi.input": Broken(),
            "wsgi.input_terminated": True,
        },
    )
    assert answer.status_code == 400


def test_too_large_form_is_400(caller: FlaskClient, connector: Connector) -> None:
    answer = caller.post(hook(connector), data={**CALL, "More": "x" * 70_000})
    assert (answer.status_code, answer.json["message"]) == (
        400,
        "Request body is larger than 64 KB.",
    )


def test_caller_hears_busy_on_an_internal_failure(
    caller: FlaskClient,
    connector: Connector,
    sqlite_database: Database,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with missing_table(sqlite_database, "calls"):
        answer = caller.post(hook(connector), data=CALL)
    assert answer.status_code == 200
    assert fromstring(answer.text).find("Reject").get("reason") == "busy"
    assert "a webhook failed" in caplog.text


def test_status_that_cannot_be_stored_is_not_acknowledged(
    caller: FlaskClient, connector: Connector, sqlite_database: Database
) -> None:
    with missing_table(sqlite_database, "calls"):
        answer = caller.post(f"{hook(connector)}/status", data={**CALL, "CallStatus": "completed"})
    assert answer.status_code == 500


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_keys_are_received_by_get_and_post(
    method: str, app: Flask, caller: FlaskClient, connector: Connector
) -> None:
    rule = a_rule()
    rule = replace(rule, room=replace(rule.room, pin="4321"))
    services_of(app).stores.routing_rules.add(rule)
    action = fromstring(caller.post(hook(connector), data=CALL).text)[0].get("action")
    path = action.removeprefix("https://voice.example.com")
    pressed = {**CALL, "CallStatus": "in-progress", "Digits": "4321"}
    if method == "POST":
        answer = caller.post(path, data=pressed)
    else:
        answer = caller.get(path.partition("?")[0], query_string={"try": "1", **pressed})
    assert answer.headers["Cache-Control"] == "no-store"
    assert fromstring(answer.text).find("Connect/Stream") is not None


@pytest.mark.parametrize("ending", ["", "/gather", "/dial", "/status"])
@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "TRACE"])
def test_no_other_method_starts_a_call(
    app: Flask, connector: Connector, method: str, ending: str
) -> None:
    answer = FlaskClient(app).open(
        f"{hook(connector)}{ending}", method=method, query_string=CALL, data=CALL
    )
    # Browsers ask with OPTIONS before anything else, and are answered before any guard.
    assert answer.status_code == (204 if method == "OPTIONS" else 405)
    assert method == "OPTIONS" or set(answer.allow) >= {"GET", "POST"}
    assert services_of(app).stores.calls.live() == 0
