"""Holds of calls in progress while the database or the process is unavailable."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit
from xml.etree.ElementTree import Element, fromstring

import pytest
from flask import Flask
from flask.testing import FlaskClient

from service.calls.holds import MOST
from service.domain.calls import CallStatus
from service.security.call_keys import key_of
from service.storage.database import Database
from service.web.services import services_of
from tests.support import signers
from tests.support.apps import API_SECRET, PUBLIC_URL, build
from tests.support.clocks import FakeClock
from tests.support.missing_tables import missing_table
from tests.support.records import a_connector

PROVIDERS = ("twilio", "plivo", "telnyx")
CALL = "0c0ffee0-1234-4abc-8def-0123456789ab"
FORM = {"CallSid": "CA1", "CallUUID": "CA1", "CallStatus": "in-progress"}


@pytest.fixture
def away(clock: FakeClock) -> Iterator[Flask]:
    """An app whose database cannot be reached."""
    database = Database("postgresql+psycopg://someone@127.0.0.1:1/nothing")
    yield build(database, clock)
    database.close()


@pytest.fixture
def provider(away: Flask) -> FlaskClient:
    return away.test_client()


def path(name: str, ending: str = "", key: str | None = None) -> str:
    return f"/v2/hooks/{name}/{key or key_of(API_SECRET, CALL)}{ending}"


def ask(client: FlaskClient, address: str, **fields: str) -> Element:
    answer = client.post(address, data={**FORM, **fields})
    assert answer.status_code == 200
    return fromstring(answer.text)


def led_back(response: Element) -> str:
    """The address, without its origin, that a hold leads to."""
    pause, redirect = response
    assert pause.tag in ("Pause", "Wait")
    assert (pause.get("length"), redirect.tag) == ("3", "Redirect")
    return (redirect.text or "").removeprefix(PUBLIC_URL)


@pytest.mark.parametrize("name", PROVIDERS)
@pytest.mark.parametrize("ending", ["", "/gather?try=1"])
def test_call_in_progress_is_held_at_its_own_address(
    provider: FlaskClient, name: str, ending: str
) -> None:
    again = led_back(ask(provider, path(name, ending)))
    assert again == f"{path(name)}?held=1"
    assert led_back(ask(provider, again)) == f"{path(name)}?held=2"


@pytest.mark.parametrize(
    ("name", "field"),
    [("twilio", "DialCallStatus"), ("telnyx", "DialCallStatus"), ("plivo", "DialStatus")],
)
@pytest.mark.parametrize("outcome", ["completed", "busy", "no-answer", "failed"])
def test_end_of_a_transfer_is_kept_during_a_hold(
    provider: FlaskClient, name: str, field: str, outcome: str
) -> None:
    again = ask(provider, path(name, "/dial"), **{field: outcome})
    for count in ("1", "2"):
        address = urlsplit(led_back(again))
        assert address.path == path(name, "/dial")
        assert parse_qs(address.query) == {"outcome": [outcome], "held": [count]}
        again = ask(provider, f"{address.path}?{address.query}")


def test_call_from_before_a_secret_change_is_held(clock: FakeClock) -> None:
    database = Database("postgresql+psycopg://someone@127.0.0.1:1/nothing")
    client = build(database, clock, api_secret_previous="secret before").test_client()
    own = path("twilio", key=key_of("secret before", CALL))
    assert led_back(ask(client, own)) == f"{own}?held=1"
    database.close()


def test_a_new_caller_hears_busy(provider: FlaskClient) -> None:
    for key in ("whk_" + "k" * 32, key_of("another secret", CALL)):
        response = ask(provider, path("twilio", key=key))
        assert response[0].get("reason") == "busy"


def test_failed_status_notice_is_not_acknowledged(provider: FlaskClient) -> None:
    assert provider.post(path("twilio", "/status"), data=FORM).status_code == 503


@pytest.mark.parametrize("held", ["nonsense", "-1", "1e3", "9" * 50, "²", ""])
def test_an_invalid_count_of_holds_begins_at_one(provider: FlaskClient, held: str) -> None:
    response = ask(provider, path("twilio", f"?held={held}"))
    assert led_back(response) == f"{path('twilio')}?held=1"


def test_number_of_holds_is_bounded(provider: FlaskClient) -> None:
    assert led_back(ask(provider, path("twilio", f"?held={MOST - 1}")))
    assert [verb.tag for verb in ask(provider, path("twilio", f"?held={MOST}"))] == ["Hangup"]


def test_held_call_without_a_socket_does_not_end(
    app: Flask, clock: FakeClock, sqlite_database: Database
) -> None:
    client, services = app.test_client(), services_of(app)
    connector = a_connector()
    services.stores.connectors.add(connector)
    ask(client, f"/v2/hooks/twilio/{connector.webhook_key}")
    (call,) = services.stores.calls.page().items
    own = path("twilio", key=key_of(API_SECRET, call.id))
    with sqlite_database.write() as connection:
        update = "UPDATE calls SET status = 'answered', detached_at = %d, expires_at = NULL"
        connection.exec_driver_sql(update % clock.now())
    clock.advance(600)
    with missing_table(sqlite_database, "calls"):
        assert led_back(ask(client, own))
    services.deadlines.sweep()
    assert services.stores.calls.get(call.id).status is CallStatus.ANSWERED
    clock.advance(15)
    services.deadlines.sweep()
    assert services.stores.calls.get(call.id).status is CallStatus.ENDED


@pytest.mark.parametrize("name", PROVIDERS)
def test_ending_process_holds_calls_without_the_database(away: Flask, name: str) -> None:
    serving = services_of(away).serving
    serving.begin_drain()
    serving.expect([CALL, "another"])
    assert led_back(ask(away.test_client(), path(name))) == f"{path(name)}?held=1"
    assert serving.wait(0) == 1


def test_draining_process_holds_a_call_before_it_checks_a_signature(app: Flask) -> None:
    client, services = app.test_client(), services_of(app)
    connector = a_connector(credentials={"authToken": ("t",)})
    services.stores.connectors.add(connector)
    start = f"/v2/hooks/twilio/{connector.webhook_key}"
    signed = signers.twilio("t", f"{PUBLIC_URL}{start}", tuple(FORM.items()))
    assert client.post(start, data=FORM, headers=signed).status_code == 200
    (call,) = services.stores.calls.page().items
    own = path("twilio", key=key_of(API_SECRET, call.id))
    services.serving.begin_drain()
    assert led_back(ask(client, own)) == f"{own}?held=1"
    assert client.post(f"{own}/gather?try=1", data=FORM).status_code == 403


def test_call_address_requires_a_signature_with_credentials(app: Flask) -> None:
    client, services = app.test_client(), services_of(app)
    connector = a_connector(credentials={"authToken": ("t",)})
    services.stores.connectors.add(connector)
    start = f"/v2/hooks/twilio/{connector.webhook_key}"
    signed = signers.twilio("t", f"{PUBLIC_URL}{start}", tuple(FORM.items()))
    assert client.post(start, data=FORM, headers=signed).status_code == 200
    (call,) = services.stores.calls.page().items
    own = path("twilio", key=key_of(API_SECRET, call.id))
    services.stores.connectors.rotate(connector.id, "whk_new")
    assert client.post(start, data=FORM, headers=signed).status_code == 404
    assert client.post(own, data=FORM).status_code == 403
    signed = signers.twilio("t", f"{PUBLIC_URL}{own}", tuple(FORM.items()))
    assert "<Stream" in client.post(own, data=FORM, headers=signed).text
    services.stores.connectors.delete(connector.id)
    assert "<Stream" in client.post(own, data=FORM).text
