"""Calls as they are asked for and answered."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, fields, post_dump, post_load, validate

from service.api.schemas.fields import (
    IDENTIFIER,
    EpochMillis,
    Instant,
    Metadata,
    ParticipantFields,
    PhoneNumber,
    Request,
    Seconds,
    Switch,
    Text,
    Whole,
    at_most,
    storable,
)
from service.model import CallStatus, Direction

DAY = 86_400_000


class CallFilter(Request):
    call_id = Text(data_key="id", validate=IDENTIFIER)
    gateway_id = fields.Raw(data_key="gatewayId")
    rule_id = Text(data_key="ruleId", validate=IDENTIFIER)
    direction = fields.Enum(
        Direction,
        data_key="type",
        by_value=True,
        error_messages={"unknown": "must be one of {choices}"},
    )
    search = Text(validate=at_most(128))
    since = EpochMillis(data_key="startDate")
    until = EpochMillis(data_key="endDate")
    room_id = Text(data_key="roomId", validate=IDENTIFIER)
    session_id = Text(data_key="sessionId", validate=IDENTIFIER)
    status = fields.Enum(
        CallStatus, by_value=True, error_messages={"unknown": "must be one of {choices}"}
    )
    number = Whole(
        data_key="page", validate=validate.Range(min=1, error="must be a whole number from 1")
    )
    per_page = Whole(
        data_key="perPage",
        validate=validate.Range(min=1, max=100, error="must be a whole number from 1 to 100"),
    )

    @post_load
    def include_the_last_day(self, wanted: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """The whole of the day in which ``endDate`` lies counts, in UTC."""
        if "until" in wanted:
            wanted["until"] += DAY - wanted["until"] % DAY
        return wanted


class CallToEnd(Request):
    call_id = Text(data_key="callId", required=True, validate=IDENTIFIER)


class CallToMove(CallToEnd):
    room_id = Text(data_key="roomId", required=True, validate=IDENTIFIER)
    participant_id = Text(data_key="participantId", allow_none=True, validate=IDENTIFIER)
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
    room_id = Text(data_key="destinationRoomId", allow_none=True, validate=IDENTIFIER)
    participant = fields.Nested(ParticipantFields(), allow_none=True)
    metadata = Metadata(allow_none=True, validate=storable)
    waits = Switch(data_key="waitUntilAnswered", allow_none=True)
    ring_seconds = Seconds(5, 120, data_key="ringingTimeout", allow_none=True)
    max_seconds = Seconds(1, 86_400, data_key="maxCallDuration", allow_none=True)
    gateway_id = fields.Raw(data_key="gatewayId", allow_none=True)
    record_audio = fields.Raw(data_key="recordAudio", allow_none=True)
    media_encryption = fields.Raw(data_key="mediaEncryption", allow_none=True)
    hide_phone_number = fields.Raw(data_key="hidePhoneNumber", allow_none=True)
    dtmf = fields.Raw(allow_none=True)
    headers = fields.Raw(allow_none=True)
    include_headers = fields.Raw(data_key="includeHeaders", allow_none=True)


class TransferData(Schema):
    number = fields.String(data_key="to")
    status = fields.String()


class Rung(Schema):
    """One step of a call's ladder; VideoSDK's timelog has the first two members."""

    status = fields.String()
    at = Instant(data_key="timestamp")
    event = fields.String()
    detail = fields.String()

    @post_dump
    def drop_empty_detail(self, rung: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        if rung["detail"] is None:
            del rung["detail"]
        return rung


class CallData(Schema):
    """The union of VideoSDK's two spellings of a call, then what only we have.

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
    callee = fields.String(data_key="to")
    caller = fields.String(data_key="from")
    sip_call_to = fields.String(attribute="callee", data_key="sipCallTo", dump_only=True)
    sip_call_from = fields.String(attribute="caller", data_key="sipCallFrom", dump_only=True)
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
