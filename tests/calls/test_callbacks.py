"""Callbacks: the status of a call and the outcome of a dial, also late and twice."""

from __future__ import annotations

import pytest

from service.domain.calls import Call, CallStatus, EndReason, LadderEvent
from service.providers.base.provider import Webhook
from tests.support.harness import (
    BASE,
    DIALLED,
    Harness,
    keyed,
    place,
    ref_of,
    verbs,
)
from tests.support.records import a_connector

PROVIDERS = ("twilio", "plivo", "telnyx")


UP = "in-progress"


def marked(call_id: str) -> str:
    """An address of ours that says which placed call it is about."""
    return f"{BASE}/hook?placed={call_id}"


def statuses(call: Call, event: LadderEvent) -> list[str]:
    return [step.status.value for step in call.steps if step.event is event]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_failed_transfer_streams_again_and_a_second_callback_changes_nothing(
    harness: Harness, provider: str
) -> None:
    connector = harness.connect(a_connector(provider=provider))
    call = harness.answered(connector)
    harness.steering.transfer(call, DIALLED)
    harness.lost(call)
    harness.webhook(connector, CallStatus=UP)
    for _ in range(2):
        ref = ref_of(harness.dialled(connector, "busy"))
    failed = harness.call(connector)
    assert statuses(failed, LadderEvent.TRANSFER)[2:] == ["transfer-failed"]
    assert failed.detached_at == harness.clock.now()
    spec = harness.admission.claim(provider, ref)
    assert (spec.room_id, spec.participant) == (call.room_id, call.participant)
    again = harness.steering.transfer(harness.call(connector), DIALLED)
    assert again.is_transferring


def test_caller_who_is_gone_when_the_dial_ends_has_hung_up(harness: Harness) -> None:
    connector = harness.connect(a_connector())
    call = harness.answered(connector)
    harness.steering.transfer(call, DIALLED)
    harness.webhook(connector, CallStatus=UP)
    assert verbs(harness.dialled(connector, "no-answer", CallStatus="completed")) == []
    after = harness.call(connector)
    assert after.end_reason is EndReason.CALLER_HUNG_UP
    assert verbs(harness.dialled(connector, "completed")) == ["Hangup"]


def test_dial_of_an_unknown_call_is_hung_up(harness: Harness) -> None:
    connector = harness.connect(a_connector())
    assert verbs(harness.dialled(connector, "completed")) == ["Hangup"]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_status_callback_ends_the_call_whose_socket_never_told(
    harness: Harness, provider: str
) -> None:
    connector = harness.connect(a_connector(provider=provider))
    harness.answered(connector)
    harness.callbacks.status(connector, harness.hook(connector, CallStatus=UP))
    assert harness.call(connector).status is CallStatus.ANSWERED
    for status in ("completed", "completed", "ringing", UP):
        harness.callbacks.status(connector, harness.hook(connector, CallStatus=status))
    after = harness.call(connector)
    assert (after.status, after.end_reason) == (CallStatus.ENDED, EndReason.CALLER_HUNG_UP)
    assert [step.event for step in after.steps].count(LadderEvent.END) == 1


def test_trouble_is_noted_on_the_ladder_once_also_after_the_end(
    harness: Harness,
) -> None:
    connector = harness.connect(a_connector())
    call = harness.answered(connector)
    error = {"StreamEvent": "stream-error", "StreamError": "31924 protocol"}
    for _ in range(3):
        harness.callbacks.status(connector, harness.hook(connector, **error))
    harness.ending.end(call.id)
    for number in range(40):
        words = {"StreamEvent": "stream-error", "StreamError": f"odd {number}"}
        harness.callbacks.status(connector, harness.hook(connector, **words))
    notes = [step for step in harness.call(connector).steps if step.event is LadderEvent.PROVIDER]
    assert notes[0].detail.startswith("Twilio error 31924: a WebSocket frame")
    assert (notes[0].status, notes[1].status) == (CallStatus.ANSWERED, CallStatus.ENDED)
    assert len(notes) == 20


def test_callback_of_an_unknown_call_changes_nothing(harness: Harness) -> None:
    connector = harness.connect(a_connector())
    harness.callbacks.status(connector, harness.hook(connector, CallStatus="completed"))
    assert harness.call(connector) is None


@pytest.mark.parametrize(
    ("status", "becomes", "reason"),
    [
        ("busy", CallStatus.REJECTED, EndReason.CALLEE_BUSY),
        ("no-answer", CallStatus.NOT_ANSWERED, EndReason.NO_ANSWER),
        ("failed", CallStatus.FAILED, EndReason.PROVIDER_FAILED),
        ("canceled", CallStatus.ABANDONED, EndReason.CANCELED),
        ("completed", CallStatus.ABANDONED, EndReason.CALLER_HUNG_UP),
    ],
)
def test_callbacks_end_a_placed_call_with_their_outcome(
    calling: Harness, status: str, becomes: CallStatus, reason: EndReason
) -> None:
    connector = calling.connect(keyed("twilio"))
    call = place(calling, connector)
    for said in ("ringing", "ringing", status, "ringing"):
        params = (("CallSid", "made-up-1"), ("CallStatus", said))
        calling.callbacks.status(connector, Webhook(params, marked(call.id)))
    after = calling.calls.get(call.id)
    assert (after.status, after.end_reason) == (becomes, reason)
    assert statuses(after, LadderEvent.RINGING) == ["ringing"]
