"""Schemas of calls."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, fields, post_dump, validate

from service.domain.calls import Call, CallStatus, Direction
from service.domain.phone_numbers import masked
from service.web.auth import granted
from service.web.schemas.fields import (
    IDENTIFIER,
    Count,
    DayOf,
    Instant,
    Metadata,
    Moment,
    PageFilter,
    ParticipantFields,
    ParticipantId,
    Request,
    RoomName,
    Switch,
    Text,
    at_most,
    storable,
)
from service.web.schemas.phone_numbers import PhoneNumber, SearchText


class CallFilter(PageFilter):
    call_id = Text(data_key="id", validate=IDENTIFIER)
    gateway_id = Text(data_key="gatewayId")
    connector_id = Text(data_key="connectorId", validate=IDENTIFIER)
    rule_id = Text(data_key="ruleId", validate=IDENTIFIER)
    direction = fields.Enum(
        Direction,
        data_key="type",
        by_value=True,
        error_messages={"unknown": "must be one of {choices}"},
    )
    search = SearchText(validate=at_most(128))
    since = Moment(data_key="startDate")
    until = DayOf(data_key="endDate")
    room_id = Text(data_key="roomId", validate=IDENTIFIER)
    session_id = Text(data_key="sessionId", validate=IDENTIFIER)
    status = fields.Enum(
        CallStatus, by_value=True, error_messages={"unknown": "must be one of {choices}"}
    )


class CallToEnd(Request):
    call_id = Text(data_key="callId", required=True, validate=IDENTIFIER)


def _seconds(low: int, high: int, name: str) -> Count:
    sentence = f"must be a whole number from {low} to {high}"
    return Count(
        data_key=name,
        allow_none=True,
        validate=validate.Range(low, high, error=sentence),
        error_messages={"invalid": sentence},
    )


class CallToMove(CallToEnd):
    room_id = RoomName(data_key="roomId", required=True)
    participant_id = ParticipantId(data_key="participantId", allow_none=True)
    token = fields.Raw(allow_none=True)


class CallToTransfer(CallToEnd):
    number = PhoneNumber(data_key="transferTo", required=True)
    participant = fields.Raw(allow_none=True)
    play_dialtone = fields.Raw(data_key="playDialtone", allow_none=True)


class NewCall(Request):
    callee = PhoneNumber(data_key="sipCallTo", required=True)
    caller = PhoneNumber(data_key="sipCallFrom", allow_none=True)
    connector_id = Text(data_key="connectorId", allow_none=True, validate=IDENTIFIER)
    rule_id = Text(data_key="routingRuleId", allow_none=True, validate=IDENTIFIER)
    room_id = RoomName(data_key="destinationRoomId", allow_none=True)
    participant = fields.Nested(ParticipantFields(), allow_none=True)
    metadata = Metadata(allow_none=True, validate=storable)
    waits = Switch(data_key="waitUntilAnswered", allow_none=True)
    ring_seconds = _seconds(5, 120, "ringingTimeout")
    max_seconds = _seconds(1, 86_400, "maxCallDuration")
    hide_phone_number = Switch(data_key="hidePhoneNumber", allow_none=True)
    # VideoSDK's documentation has keys to press here, and its SDK whether the room hears keys.
    dtmf = fields.Raw(allow_none=True)
    gateway_id = fields.Raw(data_key="gatewayId", allow_none=True)
    record_audio = fields.Raw(data_key="recordAudio", allow_none=True)
    media_encryption = fields.Raw(data_key="mediaEncryption", allow_none=True)
    headers = fields.Raw(allow_none=True)
    include_headers = fields.Raw(data_key="includeHeaders", allow_none=True)


class TransferData(Schema):
    number = fields.String(data_key="to")
    status = fields.String()


class Number(fields.String):
    """A number of a call. A token for one room or participant sees a hidden number masked."""

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> str:
        return masked(value) if _hides(obj) and value == obj.remote else str(value)


def _hides(call: Call) -> bool:
    return call.hides_number and granted().is_tied


def _without(number: str, text: str) -> str:
    for spelling in filter(None, (number, number.removeprefix("+"))):
        text = text.replace(spelling, masked(number))
    return text


class Rung(Schema):
    """One step of a call's ladder. VideoSDK's timelog has the first two members."""

    status = fields.String()
    at = Instant(data_key="timestamp")
    event = fields.String()
    detail = fields.String(metadata={"optional": True})

    @post_dump
    def drop_empty_detail(self, step: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        if step["detail"] is None:
            del step["detail"]
        return step


class CallData(Schema):
    """The union of VideoSDK's two spellings of a call, followed by our own members.

    Its pages say ``callId``, ``sipCallTo``, ``sipCallFrom``; its SDK ``id``, ``to``, ``from``.
    """

    id = fields.String()
    call_id = fields.String(attribute="id", data_key="callId", dump_only=True)
    direction = fields.String(data_key="type")
    provider = fields.String()
    transport = fields.Constant("websocket")
    gateway_id = fields.Constant(None, data_key="gatewayId")
    rule_id = fields.String(data_key="ruleId")
    room_id = fields.String(data_key="roomId")
    session_id = fields.String(data_key="sessionId")
    callee = Number(data_key="to")
    caller = Number(data_key="from")
    sip_call_to = Number(attribute="callee", data_key="sipCallTo", dump_only=True)
    sip_call_from = Number(attribute="caller", data_key="sipCallFrom", dump_only=True)
    status = fields.String()
    metadata = fields.Dict()
    started_at = Instant(data_key="start")
    ended_at = Instant(data_key="end")
    steps = fields.List(fields.Nested(Rung()), data_key="timelog")
    region = fields.String()
    additional_details = fields.Constant(None, data_key="additionalDetails")
    end_reason = fields.String(data_key="endReason")
    stats = fields.Dict()
    participant_id = fields.String(attribute="participant.id", data_key="participantId")
    connector_id = fields.String(data_key="connectorId")
    transfer = fields.Nested(TransferData())

    @post_dump(pass_original=True)
    def hide_the_number(self, dumped: dict[str, Any], call: Call, **kwargs: Any) -> dict[str, Any]:
        """Remove a hidden number from a provider's text on the ladder."""
        if _hides(call):
            for step in dumped["timelog"]:
                if "detail" in step:
                    step["detail"] = _without(call.remote, step["detail"])
        return dumped
