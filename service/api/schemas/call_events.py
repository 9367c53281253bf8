"""Schemas of lifecycle events for the OpenAPI document.

They are not under ``webhooks``, because openapi-generator's code for those does not compile.
"""

from __future__ import annotations

from marshmallow import Schema, fields

from service.api.schemas.calls import CallData
from service.domain.webhook_events import Happening
from service.web.schemas.fields import Instant


class CallEventData(CallData):
    """A call in its events, as ``domain.webhook_events.event_document`` writes it."""

    meeting_id = fields.String(attribute="room_id", data_key="meetingId", dump_only=True)
    timestamp = Instant(attribute="started_at", dump_only=True)
    transfer_to = fields.String(data_key="transferTo", metadata={"optional": True})


class CallEventMessage(Schema):
    """The body of a delivery to a subscription."""

    event = fields.String(data_key="webhookType")
    call = fields.Nested(CallEventData(), data_key="data")


EVENT = (CallEventMessage(), Happening)
