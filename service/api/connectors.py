"""``/v2/connectors``: create, list, read, change, rotate and delete connectors."""

from __future__ import annotations

from typing import Any

from flask import Blueprint

from service.api.answers import answer
from service.api.requests import body, switchboard, warn
from service.api.schemas.connectors import ConnectorChanges, ConnectorData, NewConnector
from service.errors import Invalid
from service.model import Connector
from service.tokens import new_connector_id, new_webhook_key

connectors = Blueprint("connectors", __name__, url_prefix="/v2/connectors")


@connectors.post("")
@answer(ConnectorData(), status=201, message="Connector created successfully")
@body(NewConnector())
def create(fields: dict[str, Any]) -> Connector:
    connector = Connector(
        id=new_connector_id(),
        provider=fields["provider"],
        name=fields.get("name"),
        webhook_key=new_webhook_key(),
        default_room_id=fields.get("default_room_id"),
        default_rule_id=_without_rule(fields).get("default_rule_id"),
        region=fields.get("region"),
        created_at=switchboard().clock.now(),
    )
    switchboard().connectors.add(connector)
    return connector


@connectors.get("")
@answer(ConnectorData(), message="Connectors retrieved successfully")
def index() -> tuple[Connector, ...]:
    """All connectors, newest first."""
    return switchboard().connectors.all()


@connectors.get("/<id:connector_id>")
@answer(ConnectorData(), message="Connector retrieved successfully")
def get(connector_id: str) -> Connector:
    return switchboard().connectors.get(connector_id)


@connectors.patch("/<id:connector_id>")
@answer(ConnectorData(), message="Connector updated successfully")
@body(ConnectorChanges())
def update(changes: dict[str, Any], connector_id: str) -> Connector:
    """Change one field or more."""
    if not changes:
        raise Invalid("No editable fields provided")
    return switchboard().connectors.update(connector_id, _without_rule(changes))


@connectors.post("/<id:connector_id>/rotate-key")
@answer(ConnectorData(), message="Webhook key rotated successfully")
def rotate(connector_id: str) -> Connector:
    """Make a new webhook key; the old one stops at once."""
    return switchboard().connectors.rotate(connector_id, new_webhook_key())


@connectors.delete("/<id:connector_id>")
@answer(None, message="Connector deleted successfully")
def delete(connector_id: str) -> None:
    """Stop its webhook; calls that are up stay up."""
    switchboard().connectors.delete(connector_id)


def _without_rule(fields: dict[str, Any]) -> dict[str, Any]:
    """No routing rule can be created yet, so every id of one is replaced by ``None``.

    VideoSDK's own sample sends such an id and shows it come back as ``null`` with a 201.
    """
    if fields.get("default_rule_id") is None:
        return fields
    warn("defaultRuleId names no routing rule, so it was stored as null.")
    return {**fields, "default_rule_id": None}
