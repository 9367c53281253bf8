"""Webhook subscriptions and deliveries."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from service.clock import Millis
from service.domain.webhook_events import CallEvent

DELIVERY_SECONDS = 86_400
"""Seconds after which the delivery of an event is given up."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """A receiver of the user's, and the events of calls that are delivered to it."""

    id: str
    url: str = field(repr=False)
    events: tuple[CallEvent, ...]
    created_at: Millis
    updated_at: Millis


class DeliveryStatus(StrEnum):
    """``dead`` is given up: its time has passed, or its receiver was deleted."""

    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event for one receiver: a subscription by its id, or a room by ``room_receiver``.

    ``body`` is the JSON text that is signed and sent. A pending delivery has its next attempt at
    ``due_at``, and its last one before ``expires_at``. The latest attempt was at ``tried_at``;
    ``answer`` is the HTTP status of its response, and ``error`` a sentence about its failure.
    """

    id: str
    receiver: str
    event: str
    body: str = field(repr=False)
    created_at: Millis
    status: DeliveryStatus = DeliveryStatus.PENDING
    attempts: int = 0
    due_at: Millis | None = None
    expires_at: Millis | None = None
    tried_at: Millis | None = None
    answer: int | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class ReceiverLease:
    """A node's right to deliver to one receiver. ``epoch`` rises with each claim.

    The last ``failures`` attempts in a row have failed, also those of other nodes.
    """

    receiver: str
    holder: str
    epoch: int
    failures: int = 0


def room_receiver(room_id: str) -> str:
    """Return the receiver id of a room's own webhook. No subscription's id has a colon."""
    return f"room:{room_id}"
