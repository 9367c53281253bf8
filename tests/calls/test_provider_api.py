"""Requests to the provider's API: calls that end here are hung up there."""

from __future__ import annotations

import pytest

from service.domain.calls import CallStatus, EndReason, LadderEvent
from service.providers.base.provider import Webhook
from service.storage.calls.provider_requests import MOST_ATTEMPTS
from service.storage.database import Database
from tests.support.clocks import FakeClock
from tests.support.harness import (
    BASE,
    CALL_IDS,
    Harness,
    a_harness,
    keyed,
    place,
    ref_of,
    waiting_requests,
)
from tests.support.leases import lapse
from tests.support.nodes import another
from tests.support.provider_apis import ProviderApi
from tests.support.records import a_connector

PROVIDERS = ("twilio", "plivo", "telnyx")


def marked(call_id: str) -> str:
    """An address of ours that says which placed call it is about."""
    return f"{BASE}/hook?placed={call_id}"


@pytest.mark.parametrize("provider", PROVIDERS)
def test_call_that_was_ended_before_its_id_was_known_is_hung_up_when_it_rings(
    calling: Harness, api: ProviderApi, provider: str
) -> None:
    api.cut = True
    connector = calling.connect(keyed(provider))
    call = place(calling, connector)
    calling.ending.end(call.id)
    name, said = ("CallUUID", "Event") if provider == "plivo" else ("CallSid", "CallbackSource")
    params = ((name, "made-up-1"), ("CallStatus", "ringing"), (said, "Ring"))
    for _ in range(2):
        calling.callbacks.status(connector, Webhook(params, marked(call.id)))
    calling.ask_providers()
    assert api.hung_up == ["made-up-1"]
    assert calling.calls.get(call.id).end_reason is EndReason.ENDED_BY_API


@pytest.mark.parametrize("provider", PROVIDERS)
def test_hang_up_counts_where_the_provider_s_answer_breaks_off(
    calling: Harness, api: ProviderApi, provider: str
) -> None:
    call = place(calling, calling.connect(keyed(provider)))
    api.cut = True
    calling.ending.end(call.id)
    calling.ask_providers()
    assert api.hung_up == ["made-up-1"]
    [said] = [
        step.detail
        for step in calling.calls.get(call.id).steps
        if step.event is LadderEvent.PROVIDER
    ]
    assert said is not None
    assert said.endswith("was told to hang up.")


@pytest.mark.parametrize("provider", PROVIDERS)
def test_call_that_we_end_is_ended_through_the_provider_too(
    calling: Harness, api: ProviderApi, provider: str
) -> None:
    connector = calling.connect(keyed(provider))
    call = calling.answered(connector)
    calling.ending.end(call.id)
    calling.ask_providers()
    assert api.hung_up == [CALL_IDS[provider]]
    last = calling.calls.get(call.id).steps[-1]
    assert (last.event, last.status) == (LadderEvent.PROVIDER, CallStatus.ENDED)
    assert last.detail is not None
    assert last.detail.endswith("was told to hang up.")


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        ((404, {"code": 20404}), "Twilio had ended the call already."),
        ((500, {}), "Twilio did not hang up. Twilio answered 500."),
    ],
)
def test_provider_that_does_not_hang_up_fails_nothing(
    calling: Harness, api: ProviderApi, trouble: tuple[int, object], said: str
) -> None:
    call = calling.answered(calling.connect(keyed("twilio")))
    api.trouble = trouble
    assert calling.ending.end(call.id).status is CallStatus.ENDED
    calling.ask_providers()
    assert calling.calls.get(call.id).steps[-1].detail == said


def test_call_that_the_provider_has_ended_is_not_ended_again(
    calling: Harness, api: ProviderApi
) -> None:
    connector = calling.connect(keyed("twilio"))
    calling.answered(connector)
    calling.webhook(connector, CallStatus="completed")
    calling.ask_providers()
    assert api.hung_up == []


def test_deleted_connector_has_no_credentials_any_more(calling: Harness, api: ProviderApi) -> None:
    connector = calling.connect(keyed("twilio"))
    call = calling.answered(connector)
    calling.stores.connectors.delete(connector.id)
    calling.ending.end(call.id)
    calling.ask_providers()
    assert api.hung_up == []


def api_urls(api: ProviderApi) -> dict[str, str]:
    return {f"{name}_api_url": api.url for name in PROVIDERS}


def test_request_of_a_process_that_was_killed_is_sent_by_another(
    database: Database, clock: FakeClock, api: ProviderApi
) -> None:
    """The first has taken it, and has not been answered."""
    with a_harness(database, clock, **api_urls(api)) as killed:
        call = killed.answered(killed.connect(keyed("twilio")))
        killed.ending.end(call.id)
        assert killed.stores.provider_requests.take()
        with a_harness(database, clock, **api_urls(api)) as other:
            other.provider_api.work()
            assert waiting_requests(database) == [call.id]
            lapse(database)
            other.ask_providers()
            assert other.calls.get(call.id).steps[-1].detail == "Twilio was told to hang up."
    assert api.hung_up == [CALL_IDS["twilio"]]


def test_processes_share_the_requests(
    database: Database, clock: FakeClock, api: ProviderApi
) -> None:
    with (
        a_harness(database, clock, **api_urls(api)) as one,
        another(database) as second,
        a_harness(second, clock, **api_urls(api)) as other,
    ):
        connector = one.connect(keyed("twilio"))
        ids = [f"CA{number:032}" for number in range(12)]
        for provider_call_id in ids:
            one.start(ref_of(one.webhook(connector, CallSid=provider_call_id)))
        for harness in (one, other):
            harness.provider_api.start()
        for provider_call_id in ids:
            call = one.calls.find(connector.id, provider_call_id)
            assert call
            one.ending.end(call.id)
        other.stores.provider_requests.signal.set()
        one.ask_providers()
    assert sorted(api.hung_up) == ids


def test_request_that_ends_its_process_is_given_up(
    calling: Harness, api: ProviderApi, caplog: pytest.LogCaptureFixture
) -> None:
    call = calling.answered(calling.connect(keyed("twilio")))
    calling.ending.end(call.id)
    for _ in range(MOST_ATTEMPTS):
        assert calling.stores.provider_requests.take()
        lapse(calling.database)
    calling.ask_providers()
    assert api.hung_up == []
    assert "the provider is not asked to hang up any more" in caplog.text


def test_call_of_a_connector_without_credentials_makes_no_request(calling: Harness) -> None:
    call = calling.answered(calling.connect(a_connector()))
    calling.ending.end(call.id)
    assert waiting_requests(calling.database) == []


def test_request_waits_while_the_process_stops(calling: Harness, api: ProviderApi) -> None:
    call = calling.answered(calling.connect(keyed("twilio")))
    calling.provider_api.stop()
    calling.ending.end(call.id)
    calling.provider_api.work()
    assert waiting_requests(calling.database) == [call.id]
    assert api.hung_up == []
