"""``/v2/connectors``: create, list, read, change, rotate and delete connectors.

Credentials are write-only: an answer contains only the names of the ones that are set.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Blueprint

from service.api.schemas.connectors import ConnectorChanges, ConnectorData, NewConnector
from service.api.schemas.credentials import read
from service.domain.connectors import Connector
from service.domain.ids import new_connector_id, new_webhook_key
from service.domain.routing_rules import RuleType
from service.errors import Conflict, Invalid
from service.providers import load
from service.providers.base.signatures import Use
from service.security.permissions import Need
from service.storage.connectors import UNREADABLE
from service.web.declarations import needs, refuses
from service.web.responses import answer
from service.web.services import services
from service.web.validation import body
from service.web.warnings import warn

connectors = Blueprint("connectors", __name__, url_prefix="/v2/connectors")

_providers = load()


@connectors.post("")
@needs(Need.ACCOUNT)
@answer(ConnectorData(), status=201, message="Connector created successfully")
@body(NewConnector())
def create(fields: dict[str, Any]) -> Connector:
    """Create a connector for a provider."""
    sent = read(_providers[fields["provider"]], fields.get("credentials") or {})
    connector = Connector(
        id=new_connector_id(),
        provider=fields["provider"],
        name=fields.get("name"),
        webhook_key=new_webhook_key(),
        default_room_id=fields.get("default_room_id"),
        default_rule_id=_with_known_rule(fields).get("default_rule_id"),
        region=fields.get("region"),
        created_at=services().clock.now(),
        credentials={name: values for name, values in sorted(sent.items()) if values},
    )
    services().stores.connectors.add(connector)
    return _with_warnings(connector)


@connectors.get("")
@needs(Need.ACCOUNT)
@answer(ConnectorData(), message="Connectors retrieved successfully")
def index() -> tuple[Connector, ...]:
    """List all connectors, newest first."""
    return tuple(_with_warnings(connector) for connector in services().stores.connectors.all())


@connectors.get("/<id:connector_id>")
@needs(Need.ACCOUNT)
@answer(ConnectorData(), message="Connector retrieved successfully")
def get(connector_id: str) -> Connector:
    """Read a connector."""
    return _with_warnings(services().stores.connectors.get(connector_id))


@connectors.patch("/<id:connector_id>")
@needs(Need.ACCOUNT)
@answer(ConnectorData(), message="Connector updated successfully")
@body(ConnectorChanges())
@refuses(Conflict)
def update(changes: dict[str, Any], connector_id: str) -> Connector:
    """Change fields of a connector."""
    if not changes:
        raise Invalid("No editable fields provided")
    if changes.get("credentials") is not None:
        changes["credentials"] = _readable(connector_id, changes["credentials"])
    return _with_warnings(
        services().stores.connectors.update(connector_id, _with_known_rule(changes))
    )


@connectors.post("/<id:connector_id>/rotate-key")
@needs(Need.ACCOUNT)
@answer(ConnectorData(), message="Webhook key rotated successfully")
def rotate(connector_id: str) -> Connector:
    """Replace the webhook key. The old key stops working at once."""
    return _with_warnings(services().stores.connectors.rotate(connector_id, new_webhook_key()))


@connectors.delete("/<id:connector_id>")
@needs(Need.ACCOUNT)
@answer(None, message="Connector deleted successfully")
def delete(connector_id: str) -> None:
    """Delete a connector. Its webhook stops, and live calls continue."""
    services().stores.connectors.delete(connector_id)


def _readable(connector_id: str, sent: Mapping[str, Any]) -> Mapping[str, tuple[str, ...] | None]:
    """Return the credentials of a change.

    Raises ``Conflict`` where stored credentials cannot be read and the connector would accept
    unsigned webhooks.
    """
    connector = services().stores.connectors.get(connector_id)
    provider = _providers[connector.provider]
    changes = read(provider, sent)
    if connector.locked and not provider.checks({n: v for n, v in changes.items() if v}):
        names = ", ".join(each.name for each in provider.credentials)
        raise Conflict(
            f"The stored credentials cannot be read with this API_SECRET: send all of {names} that "
            "you use, or credentials null to remove them."
        )
    return changes


def _with_warnings(connector: Connector) -> Connector:
    """Return the connector, and warn where its credentials are unreadable or have no effect."""
    if connector.locked:
        warn(
            f"The credentials of {connector.id} cannot be read with this API_SECRET: set them "
            "again; until then all its webhooks are refused."
        )
    elif connector.webhook_key == UNREADABLE:
        warn(
            f"The webhook key of {connector.id} cannot be read with this API_SECRET. It works as "
            "before; rotate it to be told one."
        )
    provider = _providers[connector.provider]
    if connector.credentials and not provider.checks(connector.credentials):
        needed = " and ".join(e.name for e in provider.credentials if Use.SIGNATURES in e.uses)
        warn(f"Signatures are not checked for {connector.id}: that needs {needed}.")
    return connector


def _with_known_rule(fields: dict[str, Any]) -> dict[str, Any]:
    """Replace an id that names no inbound rule by ``None``.

    VideoSDK's sample sends an unknown id and gets ``null`` with a 201.
    """
    rule_id = fields.get("default_rule_id")
    if rule_id is None:
        return fields
    rule = services().stores.routing_rules.find(rule_id)
    if rule is not None and rule.type is RuleType.INBOUND:
        return fields
    kind = "no routing rule" if rule is None else "an outbound rule"
    warn(f"defaultRuleId names {kind}, so it was stored as null.")
    return {**fields, "default_rule_id": None}
