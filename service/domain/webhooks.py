"""Who is told of events, and how far each telling has come, as values."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from service.clock import Millis
from service.domain.webhook_events import CallEvent

DELIVERY_SECONDS = 86_400
"""How long it is tried to deliver an event."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """An address of the user's that is told of the calls' events it names."""

    id: str
    url: str = field(repr=False)
    events: tuple[CallEvent, ...]
    created_at: Millis
    updated_at: Millis


class DeliveryStatus(StrEnum):
    """``dead`` was tried for as long as it is tried, or has lost its receiver."""

    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event for one receiver: a subscription by its id, or a room by ``room_receiver``.

    ``body`` is the JSON text that is sent and signed as it is. While it is pending it is tried
    next at ``due_at``, and until ``expires_at``. The last attempt was at ``tried_at``, and was
    answered with the HTTP status ``answer``; ``error`` says in a sentence what was wrong with it.
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


def room_receiver(room_id: str) -> str:
    """The receiver that a room's own webhook is. No id of a subscription has a colon in it."""
    return f"room:{room_id}"
