"""Throttling of addresses that fail too often. Valid requests always pass."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from service.app import create_app
from service.domain.connectors import Connector
from service.security.access_tokens import mint
from service.security.failure_limit import BURST
from service.settings import Settings
from service.web.services import services_of
from tests.support.clocks import FakeClock
from tests.support.records import a_connector

CALL = {"CallSid": "CA1", "From": "+14155550100", "To": "+14155550199", "CallStatus": "ringing"}
MESSAGE = "Too many requests from this address have failed; try again later."

BAD = {
    "token": "/v2/connectors",
    "webhook key": "/v2/hooks/twilio/whk_q7Rk2mZx9LwB4nVc8TfJ1sHd6PgY3aEu",
}


@pytest.fixture
def connector(app: Flask) -> Connector:
    connector = a_connector()
    services_of(app).stores.connectors.add(connector)
    return connector


@pytest.fixture
def stranger(app: Flask) -> FlaskClient:
    """A client with a token of another account."""
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = mint("test-key", "another-secret" * 3, 1_000)
    return client


def fail(client: FlaskClient, what: str, times: int = 1) -> list[int]:
    """Statuses of requests with a bad one."""
    return [client.get(BAD[what]).status_code for _ in range(times)]


@pytest.mark.parametrize("what", BAD)
def test_address_that_fails_too_often_gets_429_with_retry_after(
    stranger: FlaskClient, clock: FakeClock, what: str
) -> None:
    expected = 401 if what == "token" else 404
    assert fail(stranger, what, BURST) == [expected] * BURST
    answer = stranger.get(BAD[what])
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "1")
    assert answer.json == {"message": MESSAGE, "statusCode": 429}
    assert "x-request-id" in answer.headers
    clock.advance(1)
    assert fail(stranger, what, 2) == [expected, 429]


def test_failures_of_all_kinds_are_counted_together(stranger: FlaskClient) -> None:
    for what in BAD:
        fail(stranger, what, BURST // len(BAD))
    assert [fail(stranger, what) for what in BAD] == [[429]] * len(BAD)


def test_other_addresses_are_not_limited(stranger: FlaskClient) -> None:
    fail(stranger, "token", BURST)
    elsewhere = {"REMOTE_ADDR": "192.0.2.7"}
    assert stranger.get("/v2/connectors", environ_overrides=elsewhere).status_code == 401


def test_valid_token_passes_from_a_limited_address(
    app: Flask, stranger: FlaskClient, token: Callable[..., str]
) -> None:
    fail(stranger, "token", BURST)
    for _ in range(2 * BURST):
        answer = app.test_client().get("/v2/connectors", headers={"Authorization": token()})
        assert answer.status_code == 200
    assert fail(stranger, "token") == [429]


def test_valid_token_without_the_right_is_not_counted(
    app: Flask, stranger: FlaskClient, token: Callable[..., str]
) -> None:
    narrow = {"Authorization": token(roomId="r1")}
    for _ in range(BURST + 1):
        assert app.test_client().get("/v2/connectors", headers=narrow).status_code == 403
    assert fail(stranger, "token") == [401]


def test_valid_webhook_key_is_never_limited(stranger: FlaskClient, connector: Connector) -> None:
    fail(stranger, "webhook key", BURST)
    for number in range(BURST + 1):
        path = f"/v2/hooks/twilio/{connector.webhook_key}"
        assert stranger.post(path, data={**CALL, "CallSid": f"CA{number}"}).status_code == 200
    wrong = connector.webhook_key.swapcase()
    assert stranger.post(f"/v2/hooks/twilio/{wrong}", data=CALL).status_code == 429
    assert stranger.post(f"/v2/hooks/plivo/{connector.webhook_key}").status_code == 429


@pytest.mark.parametrize("ending", ["/gather", "/dial", "/status"])
def test_every_address_of_a_webhook_is_limited(stranger: FlaskClient, ending: str) -> None:
    fail(stranger, "webhook key", BURST)
    assert stranger.post(BAD["webhook key"] + ending).status_code == 429


def test_limited_requests_are_not_logged(
    stranger: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    fail(stranger, "token", BURST)
    caplog.clear()
    caplog.set_level(logging.INFO)
    assert fail(stranger, "token", 50) == [429] * 50
    (line,) = caplog.messages
    assert line == "requests of 127.0.0.1 fail too often: more that fail get 429"


@pytest.fixture
def behind_a_proxy(sqlite_url: str, clock: FakeClock, tmp_path: Path) -> Iterator[FlaskClient]:
    """A client of the whole app, which believes one proxy."""
    settings = Settings(
        api_key="key",
        api_secret="s" * 32,
        database_url=sqlite_url,
        data_dir=tmp_path,
        trust_proxy=1,
    )
    app = create_app(settings, clock)
    yield app.test_client()
    services_of(app).close()


@pytest.mark.parametrize(
    "form", ["203.0.113.7:{}", "[2001:db8::{:x}]:443", "unknown-{}", "fe80::1%{}"]
)
def test_client_behind_a_proxy_is_limited_in_every_notation(
    behind_a_proxy: FlaskClient, form: str
) -> None:
    statuses = [
        behind_a_proxy.get(
            BAD["token"], headers={"X-Forwarded-For": form.format(number), "Authorization": "none"}
        ).status_code
        for number in range(BURST + 1)
    ]
    assert statuses == [401] * BURST + [429]
    elsewhere = {"X-Forwarded-For": "198.51.100.9:1", "Authorization": "none"}
    assert behind_a_proxy.get(BAD["token"], headers=elsewhere).status_code == 401
