"""Webhook events for the steps of a call."""

from __future__ import annotations

from dataclasses import replace

import pytest

from service.api.schemas.calls import CallData
from service.domain.calls import (
    WEBSOCKET,
    Call,
    CallStatus,
    Direction,
    EndReason,
    LadderEvent,
    LadderStep,
    Transfer,
)
from service.domain.webhook_events import (
    CallEvent,
    call_document,
    event_document,
    happenings,
    left_reason,
    participant_document,
    session_document,
)
from tests.support.records import a_call

ENDS = {
    CallStatus.ENDED: CallEvent.HANGUP,
    CallStatus.REJECTED: CallEvent.HANGUP,
    CallStatus.ABANDONED: CallEvent.HANGUP,
    CallStatus.FAILED: CallEvent.HANGUP,
    CallStatus.MISSED: CallEvent.MISSED,
    CallStatus.NOT_ANSWERED: CallEvent.MISSED,
}


def with_steps(call: Call, *steps: LadderStep, **changes: object) -> Call:
    return replace(call, steps=(*call.steps, *steps), **changes)


def event_names(before: CallStatus | None, call: Call, *new: LadderStep) -> list[str]:
    return [each.event.value for each in happenings(before, call, new)]


def test_the_started_event_has_the_call_at_its_first_step() -> None:
    call = a_call()
    (started,) = happenings(None, call, call.steps)
    assert started.event is CallEvent.STARTED
    assert started.call.status is CallStatus.INCOMING
    assert started.call.steps == call.steps[:1]


def test_a_ticket_for_a_custom_websocket_has_a_started_event() -> None:
    ticket = a_call(provider=WEBSOCKET, steps=())
    (started,) = happenings(None, ticket, ())
    assert (started.event, started.call) == (CallEvent.STARTED, ticket)


def test_a_call_that_is_refused_at_once_has_a_started_and_an_end_event() -> None:
    end = LadderStep(LadderEvent.END, 1_002, CallStatus.REJECTED, "no-route")
    call = with_steps(
        a_call(status=CallStatus.INCOMING),
        end,
        status=CallStatus.REJECTED,
        ended_at=1_002,
        end_reason=EndReason.NO_ROUTE,
    )
    started, hangup, update = happenings(None, call, call.steps)
    assert [each.event for each in (started, hangup, update)] == [
        CallEvent.STARTED,
        CallEvent.HANGUP,
        CallEvent.UPDATE,
    ]
    assert (started.call.status, started.call.ended_at) == (CallStatus.INCOMING, None)
    assert started.call.end_reason is None
    assert hangup.call == update.call == call


def test_an_answer_has_one_event_and_a_reconnection_has_none() -> None:
    start = LadderStep(LadderEvent.START, 2_000, CallStatus.ANSWERED)
    call = with_steps(a_call(), start, status=CallStatus.ANSWERED)
    assert event_names(CallStatus.INCOMING, call, start) == ["call-answered", "call-update"]
    assert event_names(CallStatus.ANSWERED, with_steps(call, start), start) == []


@pytest.mark.parametrize(("status", "event"), ENDS.items())
def test_every_end_has_one_of_two_events(status: CallStatus, event: CallEvent) -> None:
    end = LadderStep(LadderEvent.END, 3_000, status, "detail")
    call = with_steps(a_call(), end, status=status, ended_at=3_000)
    assert event_names(CallStatus.ANSWERED, call, end) == [event.value, "call-update"]


@pytest.mark.parametrize(
    "status", [status for status in CallStatus if not status.is_live and not status.is_end]
)
def test_notified_steps_have_an_event_of_their_name_and_no_update(status: CallStatus) -> None:
    step = LadderStep(LadderEvent.TRANSFER, 3_000, status)
    call = with_steps(a_call(status=CallStatus.ANSWERED), step)
    names = {
        "transfer-initiated": ["call-transfer-initiated"],
        "transferring": ["call-transferring"],
        "transferred": ["call-transferred"],
        "transfer-failed": ["call-transfer-failed"],
        "transfer-accepted": [],
        "transfer-ringing": [],
    }
    assert event_names(CallStatus.ANSWERED, call, step) == names.get(status.value, [status.value])
    assert all(
        each.call.status is CallStatus.ANSWERED
        for each in happenings(CallStatus.ANSWERED, call, [step])
    )


def test_a_verified_caller_has_an_update_and_ringing_has_both_events() -> None:
    verified = LadderStep(LadderEvent.VERIFIED, 2_000, CallStatus.VERIFIED)
    markup = LadderStep(LadderEvent.MARKUP, 2_000, CallStatus.VERIFIED)
    call = with_steps(a_call(), verified, markup, status=CallStatus.VERIFIED)
    assert event_names(CallStatus.INCOMING, call, verified, markup) == ["call-update"]
    ringing = LadderStep(LadderEvent.RINGING, 2_000, CallStatus.RINGING)
    call = with_steps(a_call(status=CallStatus.INITIATED), ringing, status=CallStatus.RINGING)
    assert event_names(CallStatus.INITIATED, call, ringing) == ["call-ringing", "call-update"]


def test_audio_and_lost_sockets_have_no_event() -> None:
    steps = [
        LadderStep(event, 2_000, CallStatus.ANSWERED)
        for event in (LadderEvent.FIRST_AUDIO_IN, LadderEvent.SOCKET_LOST, LadderEvent.SOCKET)
    ]
    assert event_names(CallStatus.ANSWERED, with_steps(a_call(), *steps), *steps) == []


def test_an_event_contains_the_call_as_the_api_returns_it() -> None:
    call = a_call(
        direction=Direction.OUTBOUND,
        rule_id="rr_1",
        session_id="s1",
        region="us002",
        metadata={"order": 7},
        status=CallStatus.ENDED,
        answered_at=2_000,
        ended_at=3_000,
        end_reason=EndReason.TRANSFERRED,
        stats={"framesIn": 3},
        transfer=Transfer("+14155550177", CallStatus.TRANSFERRED),
        steps=(
            LadderStep(LadderEvent.PLACED, 1_000, CallStatus.INITIATED),
            LadderStep(LadderEvent.END, 3_000, CallStatus.ENDED, "transferred"),
        ),
    )
    plain = a_call()
    schema = CallData()
    # The token for the whole account, which such tests need, sees everything.
    for each in (call, plain):
        assert call_document(each) == schema.dump(each)
        assert list(call_document(each)) == list(schema.dump(each))


def test_an_event_has_the_fields_that_videosdk_receivers_read() -> None:
    answer = LadderStep(LadderEvent.START, 2_000, CallStatus.ANSWERED)
    call = with_steps(a_call(), answer, status=CallStatus.ANSWERED)
    for happening in happenings(CallStatus.INCOMING, call, [answer]):
        data = event_document(happening)
        assert data["meetingId"] == data["roomId"] == call.room_id
        assert data["timestamp"] == "1970-01-01T00:00:02.000Z"
        assert "transferTo" not in data

    begun = LadderStep(LadderEvent.TRANSFER, 3_000, CallStatus.TRANSFER_INITIATED)
    transfer = Transfer("+14155550177", CallStatus.TRANSFER_INITIATED)
    call = with_steps(call, begun, transfer=transfer)
    (initiated,) = happenings(CallStatus.ANSWERED, call, [begun])
    data = event_document(initiated)
    assert (data["transferTo"], data["timestamp"]) == ("+14155550177", "1970-01-01T00:00:03.000Z")


def test_a_ticket_s_started_event_has_the_time_of_the_ticket() -> None:
    ticket = a_call(provider=WEBSOCKET, room_id=None, steps=())
    (started,) = happenings(None, ticket, ())
    data = event_document(started)
    assert (data["timestamp"], data["meetingId"]) == (data["start"], None)


def test_room_webhooks_have_videosdk_s_form() -> None:
    assert session_document("r", "s", 1_656_993_600_047) == {
        "sessionId": "s",
        "meetingId": "r",
        "start": "2022-07-05T04:00:00.047+00:00",
    }
    ended = session_document("r", "s", 1_656_993_600_047, 1_656_993_660_047)
    assert list(ended) == ["sessionId", "meetingId", "start", "end", "error", "reason"]
    assert ended["end"] == "2022-07-05T04:01:00.047+00:00"
    assert participant_document("r", "s", "p", "Ann", "c") == {
        "meetingId": "r",
        "sessionId": "s",
        "participantId": "p",
        "participantName": "Ann",
        "callId": "c",
    }


def test_the_reason_of_a_departure_is_one_of_three_words() -> None:
    words = {reason: left_reason(reason) for reason in EndReason}
    assert words[EndReason.CALLER_HUNG_UP] == left_reason(None) == "user-left"
    assert words[EndReason.CONNECTION_LOST] == "connection-error"
    assert words[EndReason.REMOVED] == "UNKNOWN"
