"""What comes back about a call, at an address of its own, whatever became of its connector."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from xml.etree.ElementTree import Element, fromstring

import pytest

from service.calls.callbacks import Callbacks
from service.domain.calls import CallStatus, EndReason, Participant, Transfer
from service.domain.connectors import Connector
from service.errors import NotFound
from service.providers import load
from service.providers.base.provider import Webhook
from service.security.call_keys import key_of
from service.storage.database import Database
from tests.support.clocks import FakeClock
from tests.support.records import a_connector
from tests.support.switchboards import BASE, CALL_IDS, Desk, a_desk, masked, ref_of, verbs

UP = "in-progress"


@pytest.fixture
def desk(database: Database, clock: FakeClock) -> Iterator[Desk]:
    with a_desk(database, clock) as desk:
        yield desk


@pytest.fixture(params=["twilio", "plivo", "telnyx"])
def connector(desk: Desk, request: pytest.FixtureRequest) -> Connector:
    return desk.connect(a_connector(provider=request.param))


@pytest.fixture
def call(desk: Desk, connector: Connector) -> Any:
    desk.start(ref_of(desk.notify_after_commit(connector)), connector.provider)
    return desk.call(connector)


def hook(connector: Connector, **fields: str) -> Webhook:
    name = connector.provider
    field = "CallUUID" if name == "plivo" else "CallSid"
    params = {field: CALL_IDS[name], "CallStatus": UP, **fields}
    return Webhook(tuple(params.items()))


def asks(desk: Desk, connector: Connector, call: Any, **fields: str) -> Element:
    """The markup of the call's own address."""
    known = desk.reception.recognise(connector.provider, desk.key(call))
    return fromstring(desk.reception.answer(known, hook(connector, **fields), BASE, call.id).text)


def callbacks(desk: Desk) -> Callbacks:
    return Callbacks(desk.switchboard, desk.reception, load())


def rotated(desk: Desk, connector: Connector) -> None:
    desk.switchboard.connectors.rotate(connector.id, "whk_new")


def deleted(desk: Desk, connector: Connector) -> None:
    desk.switchboard.connectors.delete(connector.id)


def untouched(desk: Desk, connector: Connector) -> None:
    assert desk.switchboard.connectors.get(connector.id) == connector


FATES = pytest.mark.parametrize("fate", [untouched, rotated, deleted])


@FATES
def test_a_lost_call_streams_again(desk: Desk, connector: Connector, call: Any, fate: Any) -> None:
    fate(desk, connector)
    response = asks(desk, connector, call)
    assert response.findtext("Redirect") == desk.address(call)
    spec = desk.switchboard.claim(connector.provider, ref_of(response))
    assert (spec.call_id, spec.room_id) == (call.id, call.room_id)
    assert desk.calls.get(call.id).steps[-2].markup == masked(response, connector).replace(
        "<Response>", '<?xml version="1.0" encoding="UTF-8"?><Response>'
    )


@FATES
def test_a_call_that_was_ended_hangs_up(
    desk: Desk, connector: Connector, call: Any, fate: Any
) -> None:
    fate(desk, connector)
    desk.switchboard.end(call.id)
    assert verbs(asks(desk, connector, call)) == ["Hangup"]


@FATES
def test_a_caller_is_dialled_on_and_comes_back(
    desk: Desk, connector: Connector, call: Any, fate: Any
) -> None:
    fate(desk, connector)
    desk.switchboard.steering.hand_on(call.id, "+442071838750", desk.clock.now(), 10)
    dial = asks(desk, connector, call)
    assert dial[0].get("action") == f"{desk.address(call)}/dial"
    known = desk.reception.recognise(connector.provider, desk.key(call))
    status = "DialStatus" if connector.provider == "plivo" else "DialCallStatus"
    news = hook(connector, **{status: "busy"})
    back = fromstring(callbacks(desk).dialled(known, news, BASE, call.id).text)
    assert ref_of(back)
    assert desk.calls.get(call.id).transfer == Transfer("+442071838750", CallStatus.TRANSFER_FAILED)


@FATES
def test_its_end_is_noted(desk: Desk, connector: Connector, call: Any, fate: Any) -> None:
    fate(desk, connector)
    known = desk.reception.recognise(connector.provider, desk.key(call))
    callbacks(desk).status(known, hook(connector, CallStatus="completed"), call.id)
    assert desk.calls.get(call.id).end_reason is EndReason.CALLER_HUNG_UP


def test_it_is_about_that_call_and_starts_none(desk: Desk, connector: Connector, call: Any) -> None:
    field = "CallUUID" if connector.provider == "plivo" else "CallSid"
    other = {field: "another"}
    assert verbs(asks(desk, connector, call, **other)) == ["Hangup"]
    desk.notify_after_commit(connector, **other)
    assert verbs(asks(desk, connector, call, **other)) == ["Hangup"]
    known = desk.reception.recognise(connector.provider, desk.key(call))
    over = hook(connector, CallStatus="completed", **other)
    callbacks(desk).status(known, over, call.id)
    desk.reception.answer(known, over, BASE, call.id)
    assert [each.status for each in desk.calls.page().items] == [
        CallStatus.INCOMING,
        CallStatus.ANSWERED,
    ]


def test_only_its_own_key_and_provider_will_do(desk: Desk, connector: Connector, call: Any) -> None:
    other = "plivo" if connector.provider == "twilio" else "twilio"
    forged = key_of("another secret", call.id)
    for provider, key in (
        (other, desk.key(call)),
        (connector.provider, forged),
        (connector.provider, key_of("secret", "unknown")),
    ):
        with pytest.raises(NotFound):
            desk.reception.recognise(provider, key)


def test_a_key_survives_another_api_secret(
    desk: Desk, connector: Connector, call: Any, database: Database, clock: FakeClock
) -> None:
    with a_desk(database, clock, api_secret="changed") as later:
        known = later.reception.recognise(connector.provider, desk.key(call))
        text = later.reception.answer(known, hook(connector), BASE, call.id).text
        assert fromstring(text).findtext("Redirect") == later.address(call)


def test_the_webhook_key_still_serves_calls_from_before_an_upgrade(
    desk: Desk, connector: Connector, call: Any
) -> None:
    response = desk.notify_after_commit(connector, CallStatus=UP)
    assert ref_of(response)
    assert response.findtext("Redirect") == desk.address(call)


def test_an_agents_session_has_no_address(desk: Desk) -> None:
    call, _ = desk.switchboard.invite("room-1", Participant("ann", "Ann"), None)
    with pytest.raises(NotFound):
        desk.reception.recognise("twilio", desk.key(call))
