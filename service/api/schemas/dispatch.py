"""Schemas of dispatches of agents."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, ValidationError, fields, post_load

from service.web.schemas.fields import IDENTIFIER, Metadata, Request, RoomName, Text, storable


class NewDispatch(Request):
    """A dispatch. VideoSDK's clients send the room under both names."""

    either = ("roomId", "meetingId")

    agent_id = Text(data_key="agentId", required=True, validate=IDENTIFIER)
    meeting_id = RoomName(data_key="meetingId", allow_none=True)
    room_id = RoomName(data_key="roomId", allow_none=True)
    metadata = Metadata(allow_none=True, validate=storable)
    version_id = fields.Raw(data_key="versionId", allow_none=True)
    version_tag = fields.Raw(data_key="versionTag", allow_none=True)
    wait = fields.Raw(allow_none=True)
    room_options = fields.Raw(data_key="roomOptions", allow_none=True)
    sip_options = fields.Raw(data_key="sipOptions", allow_none=True)

    @post_load
    def settle_the_room(self, loaded: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        meeting_id = loaded.pop("meeting_id", None)
        room_id = loaded.get("room_id") or meeting_id
        if room_id is None:
            raise ValidationError("is required", "meetingId")
        if meeting_id not in (None, room_id):
            raise ValidationError("must be the same as meetingId", "roomId")
        return {**loaded, "room_id": room_id}


class DispatchData(Schema):
    success = fields.Constant(True)
    status = fields.Constant("assigned")
    room_id = fields.String(data_key="roomId")
    agent_id = fields.String(data_key="agentId")
    id = fields.String(data_key="jobId")
