"""Requests to the provider's API: calls that end here are hung up there."""

from __future__ import annotations

import pytest

from service.domain.calls import CallStatus, EndReason, LadderEvent
from service.providers.base.provider import Webhook
from tests.support.harness import (
    BASE,
    CALL_IDS,
    Harness,
    keyed,
    place,
)
from tests.support.provider_apis import ProviderApi

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
    calling.provider_api.stop()
    assert api.hung_up == ["made-up-1"]
    assert calling.calls.get(call.id).end_reason is EndReason.ENDED_BY_API


@pytest.mark.parametrize("provider", PROVIDERS)
def test_hang_up_counts_where_the_provider_s_answer_breaks_off(
    calling: Harness, api: ProviderApi, provider: str
) -> None:
    call = place(calling, calling.connect(keyed(provider)))
    api.cut = True
    calling.ending.end(call.id)
    calling.provider_api.stop()
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
    calling.provider_api.stop()
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
    calling.provider_api.stop()
    assert calling.calls.get(call.id).steps[-1].detail == said


def test_call_that_the_provider_has_ended_is_not_ended_again(
    calling: Harness, api: ProviderApi
) -> None:
    connector = calling.connect(keyed("twilio"))
    calling.answered(connector)
    calling.webhook(connector, CallStatus="completed")
    calling.provider_api.stop()
    assert api.hung_up == []


def test_deleted_connector_has_no_credentials_any_more(calling: Harness, api: ProviderApi) -> None:
    connector = calling.connect(keyed("twilio"))
    call = calling.answered(connector)
    calling.stores.connectors.delete(connector.id)
    calling.ending.end(call.id)
    calling.provider_api.stop()
    assert api.hung_up == []
