"""Deliveries to webhooks and to rooms' webhooks: list them, and send one again."""

from __future__ import annotations

from flask import Blueprint

from service.domain.webhooks import Delivery, room_receiver
from service.security.permissions import Need
from service.web.auth import reachable_room
from service.web.declarations import needs
from service.web.responses import answer
from service.web.schemas.deliveries import DeliveryData
from service.web.services import services

deliveries = Blueprint("deliveries", __name__, url_prefix="/v2/sip/webhooks")
room_deliveries = Blueprint("room_deliveries", __name__, url_prefix="/v2/rooms")


@deliveries.get("/<id:webhook_id>/deliveries")
@needs(Need.ACCOUNT)
@answer(DeliveryData())
def index(webhook_id: str) -> tuple[Delivery, ...]:
    """List the last hundred deliveries, newest first."""
    return services().stores.outbox.recent(services().stores.subscriptions.get(webhook_id).id)


@deliveries.post("/<id:webhook_id>/deliveries/<id:delivery_id>/redeliver")
@needs(Need.ACCOUNT)
@answer(DeliveryData())
def redeliver(webhook_id: str, delivery_id: str) -> Delivery:
    """Send a delivery again, in any status."""
    return _redelivered(services().stores.subscriptions.get(webhook_id).id, delivery_id)


@room_deliveries.get("/<name:room_id>/webhook/deliveries")
@needs(Need.MODERATE)
@answer(DeliveryData())
def index_of_room(room_id: str) -> tuple[Delivery, ...]:
    """List the last hundred deliveries, newest first."""
    return services().stores.outbox.recent(room_receiver(reachable_room(room_id).id))


@room_deliveries.post("/<name:room_id>/webhook/deliveries/<id:delivery_id>/redeliver")
@needs(Need.MODERATE)
@answer(DeliveryData())
def redeliver_of_room(room_id: str, delivery_id: str) -> Delivery:
    """Send a delivery again, in any status."""
    return _redelivered(room_receiver(reachable_room(room_id).id), delivery_id)


def _redelivered(receiver: str, delivery_id: str) -> Delivery:
    return services().stores.outbox.redeliver(receiver, delivery_id, services().clock.now())
