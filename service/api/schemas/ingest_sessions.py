"""Schemas of ingest sessions, the tickets for custom WebSockets."""

from __future__ import annotations

from marshmallow import Schema, fields

from service.web.schemas.fields import (
    IDENTIFIER,
    Metadata,
    ParticipantFields,
    Request,
    RoomName,
    Text,
    at_most,
    storable,
)


class AgentFields(Request):
    id = Text(required=True, validate=IDENTIFIER)
    type = Text(allow_none=True, validate=at_most(128))
    metadata = Metadata(allow_none=True, validate=storable)


class NewIngestSession(Request):
    room_id = RoomName(data_key="roomId", required=True)
    participant = fields.Nested(ParticipantFields(), allow_none=True)
    agent = fields.Nested(AgentFields(), allow_none=True)
    region = Text(allow_none=True, validate=at_most(32))


class IngestSessionData(Schema):
    ws_url = fields.String(data_key="wsUrl")
    call_id = fields.String(data_key="callId")
    room_id = fields.String(data_key="roomId")
    expires_in = fields.Integer(data_key="expiresIn")
