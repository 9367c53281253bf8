"""Schemas of rooms."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, fields, validate

from service.api.schemas.addresses import CallableUrl
from service.domain.rooms import AutoCloseType
from service.web.schemas.fields import (
    IDENTIFIER,
    AccountId,
    Count,
    Instant,
    Metadata,
    PageFilter,
    Part,
    Request,
    RoomLink,
    RoomName,
    Text,
    at_most,
    storable,
)
from service.web.services import public_base

ARRAY_ERRORS: dict[str, Any] = {"invalid": "must be a JSON array"}

DEFAULT_MINUTES = 480
"""Default duration of a session with autoCloseConfig, as documented."""

MAX_MINUTES = 525_600

UNKNOWN = "must be one of {choices}"


class EventPattern(Text):
    """The name of an event, or its beginning and an asterisk.

    Unknown events are accepted, because VideoSDK's rooms have many more.
    """

    def __init__(self) -> None:
        super().__init__(
            validate=validate.Regexp(
                r"\A(?=.{1,64}\Z)[a-z-]*\*?\Z",
                error="must be the name of an event, or its beginning and an asterisk",
            )
        )


class WebhookFields(Request):
    end_point = CallableUrl(data_key="endPoint", required=True)
    events = fields.List(
        EventPattern(),
        allow_none=True,
        error_messages=ARRAY_ERRORS,
        validate=validate.Length(max=100, error="must have at most 100 items"),
    )


class AutoCloseFields(Request):
    type = fields.Enum(
        AutoCloseType,
        by_value=True,
        load_default=AutoCloseType.SESSION_ENDS,
        error_messages={"unknown": UNKNOWN},
    )
    minutes = Count(
        data_key="duration",
        load_default=DEFAULT_MINUTES,
        validate=validate.Range(
            min=1, max=MAX_MINUTES, error=f"must be a whole number of minutes up to {MAX_MINUTES}"
        ),
    )


class NewRoom(Request):
    custom_id = RoomName(data_key="customRoomId", allow_none=True)
    geo_fence = Text(data_key="geoFence", allow_none=True, validate=at_most(32))
    webhook = fields.Nested(WebhookFields(), allow_none=True)
    auto_close = fields.Nested(AutoCloseFields(), data_key="autoCloseConfig", allow_none=True)
    auto_start = Metadata(data_key="autoStartConfig", allow_none=True, validate=storable)
    composition = Metadata(data_key="multiComposition", allow_none=True, validate=storable)
    allowed_participant_ids = fields.List(
        Text(validate=IDENTIFIER),
        data_key="allowedParticipantIds",
        allow_none=True,
        error_messages=ARRAY_ERRORS,
    )


class RoomFilter(PageFilter):
    query = Text(validate=IDENTIFIER)


class RoomToClose(Request):
    room_id = Text(data_key="roomId", required=True, validate=IDENTIFIER)


class RoomState(Request):
    status = Text(required=True, validate=validate.OneOf(("enabled", "disabled"), error=UNKNOWN))


class SessionsLink(fields.String):
    """The URL of sessions without an id, as in VideoSDK's answer."""

    def _serialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        return f"{public_base()}/v2/sessions/"


class RoomLinks(Schema):
    get_room = RoomLink(attribute="id")
    get_session = SessionsLink(attribute="id", dump_only=True)


class WebhookData(Schema):
    end_point = fields.String(attribute="endPoint", data_key="endPoint")
    events = fields.List(fields.String())


class AutoCloseData(Schema):
    type = fields.String()
    minutes = fields.Integer(data_key="duration")


class RoomData(Schema):
    """VideoSDK's members, followed by the given options."""

    object_id = fields.String(data_key="id")
    id = fields.String(data_key="roomId")
    custom_id = fields.String(data_key="customRoomId")
    user_id = AccountId(attribute="id", data_key="userId", dump_only=True)
    geo_fence = fields.String(data_key="geoFence")
    disabled = fields.Boolean()
    webhook = fields.Nested(WebhookData())
    auto_close = fields.Nested(AutoCloseData(), data_key="autoCloseConfig")
    allowed_participant_ids = fields.List(fields.String(), data_key="allowedParticipantIds")
    created_at = Instant(data_key="createdAt")
    updated_at = Instant(data_key="updatedAt")
    links = Part(RoomLinks())
    auto_start = fields.Dict(
        attribute="options.autoStartConfig", data_key="autoStartConfig", metadata={"optional": True}
    )
    composition = fields.Dict(
        attribute="options.multiComposition",
        data_key="multiComposition",
        metadata={"optional": True},
    )


class ClosedRoomData(RoomData):
    """A deactivated room. VideoSDK's page has the ids in their older spelling too."""

    meeting_id = fields.String(attribute="id", data_key="meetingId", dump_only=True)
    user_meeting_id = fields.String(attribute="custom_id", data_key="userMeetingId", dump_only=True)
