"""Schemas of connectors."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, fields

from service.api.schemas.credentials import Credentials
from service.domain.connectors import webhook_url
from service.web.schemas.fields import (
    IDENTIFIER,
    Instant,
    ProviderName,
    Request,
    RoomName,
    Text,
    at_most,
)
from service.web.services import public_base


class WebhookUrl(fields.String):
    """The URL to paste into the provider's console, made from the connector's key."""

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> str:
        return webhook_url(public_base(), obj.provider, value)

    def openapi(self) -> dict[str, Any]:
        return {"format": "uri"}


class ConnectorChanges(Request):
    changes = True

    name = Text(allow_none=True, validate=at_most(128))
    default_room_id = RoomName(data_key="defaultRoomId", allow_none=True)
    default_rule_id = Text(data_key="defaultRuleId", allow_none=True, validate=IDENTIFIER)
    region = Text(allow_none=True, validate=at_most(32))
    credentials = Credentials(allow_none=True)


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
    # Only their names: the values are sent to their provider only.
    credentials = fields.List(fields.String())
