"""Schemas of sessions, their participants and statistics."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from marshmallow import Schema, fields

from service.domain.rooms import SessionStatus
from service.web.schemas.fields import (
    IDENTIFIER,
    AccountId,
    DayOf,
    Instant,
    Moment,
    PageFilter,
    Part,
    Request,
    RoomLink,
    Text,
)
from service.web.services import public_base


class SessionFilter(PageFilter):
    room_id = Text(data_key="roomId", validate=IDENTIFIER)
    custom_room_id = Text(data_key="customRoomId", validate=IDENTIFIER)
    query = Text(validate=IDENTIFIER)
    since = Moment(data_key="startDate")
    until = DayOf(data_key="endDate")
    status = fields.Enum(
        SessionStatus, by_value=True, error_messages={"unknown": "must be one of {choices}"}
    )
    user_id = Text(data_key="userId", validate=IDENTIFIER)


class SessionToEnd(Request):
    either = ("roomId", "sessionId")

    room_id = Text(data_key="roomId", validate=IDENTIFIER)
    session_id = Text(data_key="sessionId", validate=IDENTIFIER)


class ParticipantToRemove(SessionToEnd):
    participant_id = Text(data_key="participantId", required=True, validate=IDENTIFIER)


class StayData(Schema):
    joined_at = Instant(data_key="start")
    left_at = Instant(data_key="end")


class ParticipantData(Schema):
    id = fields.String(data_key="participantId")
    name = fields.String()
    presences = fields.List(fields.Nested(StayData()), data_key="timelog")


class SessionLink(fields.String):
    """The URL of a session, made from its id."""

    def _serialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        return f"{public_base()}/v2/sessions/{quote(value, safe='')}"


class SessionLinks(Schema):
    room_id = RoomLink(data_key="get_room")
    id = SessionLink(data_key="get_session")


class SessionData(Schema):
    id = fields.String()
    room_id = fields.String(data_key="roomId")
    custom_room_id = fields.String(data_key="customRoomId")
    started_at = Instant(data_key="start")
    ended_at = Instant(data_key="end")
    status = fields.String()
    region = fields.String()
    participants = fields.List(fields.Nested(ParticipantData()))
    links = Part(SessionLinks())
    user_id = AccountId(attribute="id", data_key="userId", dump_only=True)


class EndedSessionData(SessionData):
    """An ended session. VideoSDK's server has the room's ids in their older spelling here."""

    meeting_id = fields.String(attribute="room_id", data_key="meetingId", dump_only=True)
    user_meeting_id = fields.String(
        attribute="custom_room_id", data_key="userMeetingId", dump_only=True
    )


class ReadingData(Schema):
    """Statistics of one call. ``audio`` has the same members as a call's statistics."""

    time = Instant()
    call_id = fields.String(data_key="callId")
    participant_id = fields.String(data_key="participantId")
    name = fields.String(data_key="participantName")
    stats = fields.Dict(data_key="audio", allow_none=True)


class SessionStatsData(Schema):
    id = fields.String(data_key="sessionId")
    room_id = fields.String(data_key="roomId")
    meeting_id = fields.String(attribute="room_id", data_key="meetingId", dump_only=True)
    readings = fields.List(fields.Nested(ReadingData()), data_key="stats")


class ParticipantStatsData(SessionStatsData):
    participant_id = fields.String(data_key="participantId")
    participant_name = fields.String(data_key="participantName")
