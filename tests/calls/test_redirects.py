"""Calls of a node that fell silent: their providers are asked to redirect them, once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from service.domain.calls import Call, EndReason, LadderEvent
from service.storage.database import Database
from tests.support.clocks import FakeClock
from tests.support.harness import (
    BASE,
    CALL_IDS,
    DIALLED,
    Harness,
    a_harness,
    keyed,
    ref_of,
    verbs,
    waiting_requests,
)
from tests.support.leases import lapse
from tests.support.nodes import another
from tests.support.orphans import lost
from tests.support.provider_apis import ProviderApi
from tests.support.records import a_connector

PROVIDERS = ("twilio", "plivo", "telnyx")


def settings(api: ProviderApi) -> dict[str, str]:
    return {"public_url": BASE, **{f"{name}_api_url": api.url for name in PROVIDERS}}


@pytest.fixture
def harness(database: Database, clock: FakeClock, api: ProviderApi) -> Iterator[Harness]:
    with a_harness(database, clock, **settings(api)) as harness:
        yield harness


def lose(harness: Harness, call: Call) -> None:
    """Take over the calls of the node of this call, which does not answer any more."""
    taken = lost(harness.database, call.node_id, harness.clock.now())
    assert taken.silent == {call.node_id: (call.id,)}


@pytest.mark.parametrize("provider", PROVIDERS)
def test_lost_call_is_redirected_to_its_own_address(
    harness: Harness, api: ProviderApi, provider: str
) -> None:
    connector = harness.connect(keyed(provider))
    call = harness.answered(connector)
    lose(harness, call)
    harness.ask_providers()
    assert api.redirected == [(CALL_IDS[provider], harness.address(call))]
    last = harness.calls.get(call.id).steps[-1]
    assert (last.event, last.detail) == (
        LadderEvent.PROVIDER,
        f"{provider.capitalize()} was told to redirect the call.",
    )
    again = harness.webhook(connector, CallStatus="in-progress")
    harness.start(ref_of(again), provider)
    assert harness.calls.get(call.id).is_attached
    assert api.hung_up == []


def test_call_that_has_come_back_by_itself_is_not_redirected(
    harness: Harness, api: ProviderApi
) -> None:
    connector = harness.connect(keyed("twilio"))
    lose(harness, harness.answered(connector))
    # The provider has its answer, and connects just now.
    harness.webhook(connector, CallStatus="in-progress")
    harness.ask_providers()
    assert api.redirected == []


def test_call_whose_number_is_being_dialled_is_not_redirected(
    harness: Harness, api: ProviderApi
) -> None:
    connector = harness.connect(keyed("twilio"))
    call = harness.answered(connector)
    harness.steering.transfer(call, DIALLED)
    lose(harness, call)
    assert verbs(harness.webhook(connector, CallStatus="in-progress")) == ["Dial"]
    harness.ask_providers()
    assert api.redirected == []


def test_call_that_was_to_be_transferred_is_redirected(harness: Harness, api: ProviderApi) -> None:
    call = harness.answered(harness.connect(keyed("twilio")))
    harness.steering.transfer(call, DIALLED)
    lose(harness, call)
    harness.ask_providers()
    assert [call_id for call_id, _ in api.redirected] == [CALL_IDS["twilio"]]


@pytest.mark.parametrize("taken", [False, True], ids=["waiting", "in flight"])
def test_call_that_is_ended_is_hung_up_and_not_redirected(
    harness: Harness, api: ProviderApi, taken: bool
) -> None:
    call = harness.answered(harness.connect(keyed("twilio")))
    lose(harness, call)
    requests = harness.stores.provider_requests
    asked = requests.take() if taken else None
    harness.ending.end(call.id)
    if asked is not None:
        requests.answered(asked, "Twilio was told to redirect the call.", harness.clock.now())
    harness.ask_providers()
    assert (api.redirected, api.hung_up) == ([], [CALL_IDS["twilio"]])


def test_call_that_its_provider_has_ended_is_not_redirected(
    harness: Harness, api: ProviderApi
) -> None:
    connector = harness.connect(keyed("twilio"))
    call = harness.answered(connector)
    lose(harness, call)
    harness.webhook(connector, CallStatus="completed")
    harness.ask_providers()
    assert api.redirected == []
    assert harness.calls.get(call.id).end_reason is EndReason.CALLER_HUNG_UP


def test_call_of_a_connector_without_credentials_is_not_redirected(harness: Harness) -> None:
    lose(harness, harness.answered(harness.connect(a_connector())))
    assert waiting_requests(harness.database) == []


def test_call_whose_process_was_seen_to_end_is_not_redirected(harness: Harness) -> None:
    call = harness.answered(harness.connect(keyed("twilio")))
    harness.restart()
    assert not harness.calls.get(call.id).is_attached
    assert waiting_requests(harness.database) == []


def test_redirect_that_the_provider_refuses_is_on_the_ladder(
    harness: Harness, api: ProviderApi
) -> None:
    call = harness.answered(harness.connect(keyed("twilio")))
    lose(harness, call)
    api.trouble = (500, {})
    harness.ask_providers()
    last = harness.calls.get(call.id).steps[-1]
    assert last.detail == "Twilio did not redirect the call. Twilio answered 500."


def test_redirect_of_a_node_that_was_killed_is_sent_by_another(
    harness: Harness, api: ProviderApi, clock: FakeClock
) -> None:
    lose(harness, harness.answered(harness.connect(keyed("twilio"))))
    assert harness.stores.provider_requests.take()
    with (
        another(harness.database) as database,
        a_harness(database, clock, **settings(api)) as other,
    ):
        other.provider_api.work()
        assert api.redirected == []
        lapse(database)
        other.ask_providers()
    assert [call_id for call_id, _ in api.redirected] == [CALL_IDS["twilio"]]
