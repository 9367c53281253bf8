"""The shapes of requests and answers, as marshmallow schemas.

Shape only: no database, no current user. Error texts are predicates without a subject, since
``errors`` puts the field's name in front: "roomId" + "is required".
"""

from __future__ import annotations

from typing import Any

import orjson
from flask import current_app
from marshmallow import EXCLUDE, Schema, ValidationError, fields, post_dump, validate

from service.api.requests import public_base
from service.model import CallStatus
from service.times import iso

MAX_METADATA = 8 * 1024
MAX_METADATA_DEPTH = 16
"""Far below the recursion limit of every JSON encoder the metadata will pass through."""

MAX_NUMBER = 2**63
"""Beyond 64 bits a JSON number would come back as another one."""

PLAIN = validate.Regexp(r"\A[^\x00-\x1f\x7f-\x9f]*\Z", error="must not contain control characters")
IDENTIFIER = validate.Regexp(
    r"\A[^\s\x00-\x1f\x7f-\x9f]{1,128}\Z",
    error="must be 1 to 128 characters without white space or control characters",
)

TEXT_ERRORS: dict[str, Any] = {
    "required": "is required",
    "null": "must not be null",
    "invalid": "must be a string",
}
OBJECT_ERRORS: dict[str, Any] = {
    "type": "must be a JSON object",
    "invalid": "must be a JSON object",
}


def at_most(length: int) -> list[validate.Validator]:
    return [
        validate.Length(max=length, error=f"must be at most {length} characters long"),
        PLAIN,
    ]


def storable(metadata: object) -> None:
    """Refuse what cannot be stored and repeated exactly: too deep, too big, beyond 64 bits."""
    layer = [metadata]
    for _ in range(MAX_METADATA_DEPTH + 1):
        if any(isinstance(item, int | float) and abs(item) >= MAX_NUMBER for item in layer):
            raise ValidationError("must not contain numbers beyond 64 bits")
        layer = [child for item in layer for child in _children(item)]
        if not layer:
            break
    else:
        raise ValidationError(f"must not be nested deeper than {MAX_METADATA_DEPTH} levels")
    if len(orjson.dumps(metadata)) > MAX_METADATA:
        raise ValidationError("must be at most 8 KB of JSON")


def _children(value: object) -> list[object]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


class Text(fields.String):
    default_error_messages = TEXT_ERRORS


class Whole(fields.Integer):
    """A whole number in a query string, in plain digits only."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> int:
        # int() would also take "1_000", " 7 " and digits of other scripts.
        if not (value.isascii() and value.isdigit() and len(value) < 10):
            raise ValidationError("must be a whole number from 1")
        return int(value)


class ProviderName(Text):
    """One of the providers this service speaks, which is one sentence whatever is wrong."""

    def deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        offered: tuple[str, ...] = current_app.config["PROVIDERS"]
        if value not in offered:
            raise ValidationError(f"must be one of {', '.join(offered)}")
        return str(value)


class Metadata(fields.Dict):
    default_error_messages = OBJECT_ERRORS


class Instant(fields.String):
    """Epoch milliseconds, written as ISO 8601."""

    def _serialize(self, value: Any, *args: Any, **kwargs: Any) -> str | None:
        return None if value is None else iso(value)


class WebhookUrl(fields.String):
    """The address to paste into the provider's console, made from the connector's key."""

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> str:
        return f"{public_base()}/v2/hooks/{obj.provider}/{value}"


class Request(Schema):
    class Meta:
        unknown = EXCLUDE

    error_messages = OBJECT_ERRORS


class ConnectorChanges(Request):
    name = Text(allow_none=True, validate=at_most(128))
    default_room_id = Text(data_key="defaultRoomId", allow_none=True, validate=IDENTIFIER)
    default_rule_id = Text(data_key="defaultRuleId", allow_none=True, validate=IDENTIFIER)
    region = Text(allow_none=True, validate=at_most(32))


class NewConnector(ConnectorChanges):
    provider = ProviderName(required=True)


class ConnectorData(Schema):
    id = fields.String()
    provider = fields.String()
    name = fields.String()
    webhook_key = WebhookUrl(data_key="webhookUrl")
    default_room_id = fields.String(data_key="defaultRoomId")
    default_rule_id = fields.String(data_key="defaultRuleId")
    region = fields.String()
    created_at = Instant(data_key="createdAt")


class ParticipantFields(Request):
    """A ``null`` is as good as nothing: browsers send it for what the form left empty."""

    id = Text(allow_none=True, validate=IDENTIFIER)
    name = Text(allow_none=True, validate=at_most(128))
    metadata = Metadata(allow_none=True, validate=storable)


class AgentFields(Request):
    id = Text(required=True, validate=IDENTIFIER)
    type = Text(allow_none=True, validate=at_most(128))
    metadata = Metadata(allow_none=True, validate=storable)


class NewIngestSession(Request):
    room_id = Text(data_key="roomId", required=True, validate=IDENTIFIER)
    participant = fields.Nested(ParticipantFields(), allow_none=True)
    agent = fields.Nested(AgentFields(), allow_none=True)
    region = Text(allow_none=True, validate=at_most(32))


class IngestSessionData(Schema):
    ws_url = fields.String(data_key="wsUrl")
    call_id = fields.String(data_key="callId")
    room_id = fields.String(data_key="roomId")
    expires_in = fields.Integer(data_key="expiresIn")


class CallFilter(Request):
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


class CallToEnd(Request):
    call_id = Text(data_key="callId", required=True, validate=IDENTIFIER)


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
    type = fields.Constant("inbound")
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
    metadata = fields.Dict(attribute="participant.metadata")
    started_at = Instant(data_key="start")
    ended_at = Instant(data_key="end")
    steps = fields.List(fields.Nested(Rung()), data_key="timelog")
    region = fields.String()
    additional_details = fields.Constant(None, data_key="additionalDetails")
    end_reason = fields.String(data_key="endReason")
    stats = fields.Dict()
    participant_id = fields.String(attribute="participant.id", data_key="participantId")


class PageInfo(Schema):
    """Numbers, never text: the SDK replaces anything else by its defaults."""

    number = fields.Integer(data_key="currentPage")
    per_page = fields.Integer(data_key="perPage")
    last = fields.Integer(data_key="lastPage")
    total = fields.Integer()
