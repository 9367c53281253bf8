"""``/v2/sip/webhooks``: webhooks for the events of calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flask import Blueprint

from service.api.schemas.subscriptions import (
    ALL,
    NewSubscription,
    SubscriptionChanges,
    SubscriptionData,
    SubscriptionFilter,
)
from service.domain.ids import new_subscription_id
from service.domain.paging import Page
from service.domain.webhook_events import CallEvent
from service.domain.webhooks import Subscription
from service.errors import Invalid
from service.security.permissions import Need
from service.web.declarations import needs
from service.web.responses import answer
from service.web.services import services
from service.web.validation import body, query
from service.web.warnings import warn

NEVER = (CallEvent.TRANSFER_ACCEPTED, CallEvent.TRANSFER_RINGING)
"""Events that no provider reports."""

subscriptions = Blueprint("subscriptions", __name__, url_prefix="/v2/sip/webhooks")


@subscriptions.post("")
@needs(Need.ACCOUNT)
@answer(SubscriptionData(), status=201, in_data=False)
@body(NewSubscription())
def create(fields: dict[str, Any]) -> Subscription:
    """Create a webhook for the named events."""
    at = services().clock.now()
    subscription = Subscription(
        id=new_subscription_id(),
        url=fields["url"],
        events=_events(fields["events"]),
        created_at=at,
        updated_at=at,
    )
    services().stores.subscriptions.add(subscription)
    return subscription


@subscriptions.get("")
@needs(Need.ACCOUNT)
@answer(SubscriptionData())
@query(SubscriptionFilter())
def index(wanted: dict[str, Any]) -> Page[Subscription]:
    """List webhooks, newest first."""
    return services().stores.subscriptions.page(**wanted)


@subscriptions.get("/<id:webhook_id>")
@needs(Need.ACCOUNT)
@answer(SubscriptionData(), in_data=False)
def get(webhook_id: str) -> Subscription:
    """Read a webhook."""
    return services().stores.subscriptions.get(webhook_id)


@subscriptions.put("/<id:webhook_id>")
@needs(Need.ACCOUNT)
@answer(SubscriptionData(), in_data=False)
@body(NewSubscription())
def replace(fields: dict[str, Any], webhook_id: str) -> Subscription:
    """Replace the URL and the events of a webhook."""
    return _update(webhook_id, fields)


@subscriptions.patch("/<id:webhook_id>")
@needs(Need.ACCOUNT)
@answer(SubscriptionData(), in_data=False)
@body(SubscriptionChanges())
def update(changes: dict[str, Any], webhook_id: str) -> Subscription:
    """Change the URL, the events or both of a webhook."""
    if not changes:
        raise Invalid("No editable fields provided")
    return _update(webhook_id, changes)


@subscriptions.delete("/<id:webhook_id>")
@needs(Need.ACCOUNT)
@answer(None, message="Webhook deleted successfully")
def delete(webhook_id: str) -> None:
    """Delete a webhook with its pending deliveries."""
    services().stores.subscriptions.delete(webhook_id, services().clock.now())


def _update(webhook_id: str, changes: dict[str, Any]) -> Subscription:
    if "events" in changes:
        changes["events"] = _events(changes["events"])
    return services().stores.subscriptions.update(webhook_id, changes, services().clock.now())


def _events(names: Sequence[str]) -> tuple[CallEvent, ...]:
    """Return the events of these names, and warn of events that never occur."""
    if ALL in names:
        return tuple(CallEvent)
    if never := [name for name in names if name in NEVER]:
        warn(f"No provider tells of {' and '.join(never)}, so that this never occurs here.")
    return tuple(CallEvent(name) for name in names)
