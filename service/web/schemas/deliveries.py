"""Schema of deliveries, without their bodies, which contain telephone numbers."""

from __future__ import annotations

from marshmallow import Schema, fields

from service.web.schemas.fields import Instant


class DeliveryData(Schema):
    id = fields.String()
    event = fields.String()
    status = fields.String()
    attempts = fields.Integer()
    created_at = Instant(data_key="createdAt")
    tried_at = Instant(data_key="lastAttemptAt")
    due_at = Instant(data_key="nextAttemptAt")
    answer = fields.Integer(data_key="responseStatus")
    error = fields.String()
