"""Webhooks at the address of a call, also after its connector was changed or deleted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from xml.etree.ElementTree import Element, fromstring

import pytest

from service.calls.callbacks import Callbacks
from service.domain.calls import CallStatus, EndReason, Participant, Transfer
from service.domain.connectors import Connector
from service.errors import NotFound
from service.providers.base.provider import Webhook
from service.security.call_keys import key_of
from service.storage.database import Database
from tests.support.clocks import FakeClock
from tests.support.harness import BASE, CALL_IDS, Harness, a_harness, masked, ref_of, verbs
from tests.support.records import a_connector

UP = "in-progress"


@pytest.fixture
def harness(database: Database, clock: FakeClock) -> Iterator[Harness]:
    with a_harness(database, clock) as harness:
        yield harness


@pytest.fixture(params=["twilio", "plivo", "telnyx"])
def connector(harness: Harness, request: pytest.FixtureRequest) -> Connector:
    return harness.connect(a_connector(provider=request.param))


@pytest.fixture
def call(harness: Harness, connector: Connector) -> Any:
    harness.start(ref_of(harness.webhook(connector)), connector.provider)
    return harness.call(connector)


def hook(connector: Connector, **fields: str) -> Webhook:
    name = connector.provider
    field = "CallUUID" if name == "plivo" else "CallSid"
    params = {field: CALL_IDS[name], "CallStatus": UP, **fields}
    return Webhook(tuple(params.items()))


def asks(harness: Harness, connector: Connector, call: Any, **fields: str) -> Element:
    """The markup of the call's own address."""
    known = harness.services.connector_lookup.find(connector.provider, harness.key(call))
    return fromstring(harness.inbound.answer(known, hook(connector, **fields), BASE, call.id).text)


def callbacks(harness: Harness) -> Callbacks:
    return harness.callbacks


def rotated(harness: Harness, connector: Connector) -> None:
    harness.stores.connectors.rotate(connector.id, "whk_new")


def deleted(harness: Harness, connector: Connector) -> None:
    harness.stores.connectors.delete(connector.id)


def untouched(harness: Harness, connector: Connector) -> None:
    assert harness.stores.connectors.get(connector.id) == connector


FATES = pytest.mark.parametrize("fate", [untouched, rotated, deleted])


@FATES
def test_lost_call_streams_again(
    harness: Harness, connector: Connector, call: Any, fate: Any
) -> None:
    fate(harness, connector)
    response = asks(harness, connector, call)
    assert response.findtext("Redirect") == harness.address(call)
    spec = harness.admission.claim(connector.provider, ref_of(response))
    assert (spec.call_id, spec.room_id) == (call.id, call.room_id)
    assert harness.calls.get(call.id).steps[-2].markup == masked(response, connector).replace(
        "<Response>", '<?xml version="1.0" encoding="UTF-8"?><Response>'
    )


@FATES
def test_call_that_was_ended_hangs_up(
    harness: Harness, connector: Connector, call: Any, fate: Any
) -> None:
    fate(harness, connector)
    harness.ending.end(call.id)
    assert verbs(asks(harness, connector, call)) == ["Hangup"]


@FATES
def test_caller_returns_to_the_room_after_a_transfer(
    harness: Harness, connector: Connector, call: Any, fate: Any
) -> None:
    fate(harness, connector)
    harness.stores.steering.begin_transfer(call.id, "+442071838750", harness.clock.now(), 10)
    dial = asks(harness, connector, call)
    assert dial[0].get("action") == f"{harness.address(call)}/dial"
    known = harness.services.connector_lookup.find(connector.provider, harness.key(call))
    status = "DialStatus" if connector.provider == "plivo" else "DialCallStatus"
    news = hook(connector, **{status: "busy"})
    back = fromstring(callbacks(harness).dialled(known, news, BASE, call.id).text)
    assert ref_of(back)
    assert harness.calls.get(call.id).transfer == Transfer(
        "+442071838750", CallStatus.TRANSFER_FAILED
    )


@FATES
def test_notice_of_the_end_at_the_calls_address_ends_it(
    harness: Harness, connector: Connector, call: Any, fate: Any
) -> None:
    fate(harness, connector)
    known = harness.services.connector_lookup.find(connector.provider, harness.key(call))
    callbacks(harness).status(known, hook(connector, CallStatus="completed"), call.id)
    assert harness.calls.get(call.id).end_reason is EndReason.CALLER_HUNG_UP


def test_address_of_a_call_starts_no_other_call(
    harness: Harness, connector: Connector, call: Any
) -> None:
    field = "CallUUID" if connector.provider == "plivo" else "CallSid"
    other = {field: "another"}
    assert verbs(asks(harness, connector, call, **other)) == ["Hangup"]
    harness.webhook(connector, **other)
    assert verbs(asks(harness, connector, call, **other)) == ["Hangup"]
    known = harness.services.connector_lookup.find(connector.provider, harness.key(call))
    over = hook(connector, CallStatus="completed", **other)
    callbacks(harness).status(known, over, call.id)
    harness.inbound.answer(known, over, BASE, call.id)
    assert [each.status for each in harness.calls.page().items] == [
        CallStatus.INCOMING,
        CallStatus.ANSWERED,
    ]


def test_call_key_of_another_call_or_provider_is_not_found(
    harness: Harness, connector: Connector, call: Any
) -> None:
    other = "plivo" if connector.provider == "twilio" else "twilio"
    forged = key_of("another secret", call.id)
    for provider, key in (
        (other, harness.key(call)),
        (connector.provider, forged),
        (connector.provider, key_of("secret", "unknown")),
    ):
        with pytest.raises(NotFound):
            harness.services.connector_lookup.find(provider, key)


def test_call_key_survives_another_api_secret(
    harness: Harness, connector: Connector, call: Any, database: Database, clock: FakeClock
) -> None:
    with a_harness(database, clock, api_secret="changed") as later:
        known = later.services.connector_lookup.find(connector.provider, harness.key(call))
        text = later.inbound.answer(known, hook(connector), BASE, call.id).text
        assert fromstring(text).findtext("Redirect") == later.address(call)


def test_webhook_key_still_serves_calls_from_before_an_upgrade(
    harness: Harness, connector: Connector, call: Any
) -> None:
    response = harness.webhook(connector, CallStatus=UP)
    assert ref_of(response)
    assert response.findtext("Redirect") == harness.address(call)


def test_websocket_session_has_no_webhook_address(harness: Harness) -> None:
    call, _ = harness.invite("room-1", Participant("ann", "Ann"), None)
    with pytest.raises(NotFound):
        harness.services.connector_lookup.find("twilio", harness.key(call))
