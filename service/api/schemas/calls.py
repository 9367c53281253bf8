"""Calls as they are asked for and answered."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, fields, post_dump

from service.api.auth import granted
from service.api.schemas.fields import IDENTIFIER, Instant, PageFilter, Request, Text
from service.callers import masked
from service.model import CallStatus


class CallFilter(PageFilter):
    room_id = Text(data_key="roomId", validate=IDENTIFIER)
    session_id = Text(data_key="sessionId", validate=IDENTIFIER)
    status = fields.Enum(
        CallStatus, by_value=True, error_messages={"unknown": "must be one of {choices}"}
    )


class CallToEnd(Request):
    call_id = Text(data_key="callId", required=True, validate=IDENTIFIER)


class CallerNumber(fields.String):
    """Who calls; to a token for one room or participant no more of it than the room may see."""

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> str:
        return masked(value) if obj.hides_number and granted().is_tied else str(value)


class Rung(Schema):
    """One step of a call's ladder; VideoSDK's timelog has the first two members."""

    status = fields.String()
    at = Instant(data_key="timestamp")
    event = fields.String()
    detail = fields.String(metadata={"optional": True})

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
    type = fields.Constant("inbound")
    provider = fields.String()
    transport = fields.Constant("websocket")
    gateway_id = fields.Constant(None, data_key="gatewayId")
    rule_id = fields.String(data_key="ruleId")
    room_id = fields.String(data_key="roomId")
    session_id = fields.String(data_key="sessionId")
    callee = fields.String(data_key="to")
    caller = CallerNumber(data_key="from")
    sip_call_to = fields.String(attribute="callee", data_key="sipCallTo", dump_only=True)
    sip_call_from = CallerNumber(attribute="caller", data_key="sipCallFrom", dump_only=True)
    status = fields.String()
    metadata = fields.Dict(attribute="participant.metadata")
    started_at = Instant(data_key="start")
    ended_at = Instant(data_key="end")
    steps = fields.List(fields.Nested(Rung()), data_key="timelog")
    region = fields.String()
    additional_details = fields.Constant(None, data_key="additionalDetails")
    end_reason = fields.String(data_key="endReason")
    stats = fields.Dict()
    participant_id = fields.String(attribute="participant.id", data_key="participantId")
