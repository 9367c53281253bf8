"""Request ids and the log line of a request."""

from __future__ import annotations

import logging
import re

import orjson
import pytest
from flask import Flask
from flask.testing import FlaskClient

from service.errors import Busy
from service.telemetry import logs
from tests.support.clocks import FakeClock

PATHS = ["/healthz", "/v2/connectors", "/v2/connectors/cn_none", "/nowhere", "/v2/sip/call"]


def line(caplog: pytest.LogCaptureFixture) -> dict[str, object]:
    (record,) = [found for found in caplog.records if found.name == "service.web.request_log"]
    assert (record.levelno, record.getMessage()) == (logging.INFO, "request")
    return {name: vars(record)[name] for name in ("method", "path", "status", "ms")}


@pytest.mark.parametrize("path", PATHS)
def test_every_answer_has_a_request_id(app: Flask, path: str) -> None:
    first = app.test_client().get(path).headers["x-request-id"]
    second = app.test_client().get(path).headers["x-request-id"]
    assert re.fullmatch(r"[0-9a-f]{32}", first)
    assert first != second


@pytest.mark.parametrize("sent", ["a", "A.b_c-9", "x" * 64])
def test_safe_request_id_is_kept(client: FlaskClient, sent: str) -> None:
    response = client.get("/healthz", headers={"x-request-id": sent})
    assert response.headers["x-request-id"] == sent


@pytest.mark.parametrize("sent", ["", " ", "x" * 65, "a b", "a/b", "<script>", "é", "a,b", "٣"])
def test_any_other_request_id_is_replaced(client: FlaskClient, sent: str) -> None:
    raw = sent.encode().decode("latin-1")
    response = client.get("/healthz", headers={"x-request-id": raw})
    assert re.fullmatch(r"[0-9a-f]{32}", response.headers["x-request-id"])


def test_a_request_is_one_line_with_the_pattern_and_not_the_path(
    app: Flask, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    @app.get("/v2/echo/<provider>/<key>")
    def echo(provider: str, key: str) -> str:
        clock.advance(0.25)
        return "fine"

    caplog.set_level(logging.INFO)
    app.test_client().get("/v2/echo/twilio/whk_secret?ref=secret")
    assert line(caplog) == {
        "method": "GET",
        "path": "/v2/echo/<provider>/<key>",
        "status": 200,
        "ms": 250.0,
    }
    assert "secret" not in caplog.text


@pytest.mark.usefixtures("root_logger")
def test_every_line_of_a_request_has_its_id(app: Flask, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "json")

    @app.get("/fails")
    def fails() -> str:
        raise RuntimeError

    for path, sent in (("/healthz", "r-1"), ("/v2/connectors", "r-2"), ("/fails", "r-3")):
        app.test_client().get(path, headers={"x-request-id": sent})
    lines = [orjson.loads(line) for line in capsys.readouterr().err.splitlines()]
    told = [(line["logger"], line["request_id"]) for line in lines]
    assert told == [
        ("service.web.request_log", "r-1"),
        ("service.web.errors", "r-2"),
        ("service.web.request_log", "r-2"),
        ("service.web.errors", "r-3"),
        ("service.web.request_log", "r-3"),
    ]


def test_an_unknown_address_is_logged_without_the_address(
    client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    client.get("/nowhere/secret")
    assert (line(caplog)["path"], line(caplog)["status"]) == ("unknown", 404)
    assert "secret" not in caplog.text


def test_failure_is_logged_with_its_status(app: Flask, caplog: pytest.LogCaptureFixture) -> None:
    @app.get("/fails")
    def fails() -> str:
        raise RuntimeError

    caplog.set_level(logging.INFO)
    app.test_client().get("/fails")
    assert line(caplog)["status"] == 500


def test_refused_request_is_logged_too(app: Flask, caplog: pytest.LogCaptureFixture) -> None:
    def refuse() -> None:
        raise Busy("Not yet.")

    app.before_request(refuse)
    caplog.set_level(logging.INFO)
    path = "/v2/ingest/sessions"
    response = app.test_client().post(path, headers={"x-request-id": "r-1"})
    assert (response.status_code, response.headers["x-request-id"]) == (503, "r-1")
    assert (line(caplog)["path"], line(caplog)["ms"]) == (path, 0.0)


def test_no_token_key_or_ref_is_logged(
    client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    url = client.post("/v2/connectors", json={"provider": "twilio"}).json["data"]["webhookUrl"]
    ingest = client.post("/v2/ingest/sessions", json={"roomId": "r"}).json["data"]["wsUrl"]
    client.post("/v2/ingest/sessions", json={})
    client.get(url)
    text = "\n".join(f"{record.getMessage()} {vars(record)}" for record in caplog.records)
    assert "'path': '/v2/ingest/sessions', 'status': 201" in text
    key, ref = url.rpartition("/")[2], ingest.rpartition("=")[2]
    for secret in (key, ref, client.environ_base["HTTP_AUTHORIZATION"]):
        assert secret not in text
