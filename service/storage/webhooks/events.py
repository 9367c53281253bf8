"""Lifecycle events, written into the outbox in the transactions that cause them.

The caller is about to commit the change that an event is about, so that an event is stored exactly
if its change is. An event without a subscriber is not written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select

from service.clock import Millis
from service.domain import ids
from service.domain.calls import Call, CallStatus, LadderStep
from service.domain.webhook_events import RoomEvent, event_document, happenings, matches
from service.domain.webhooks import DELIVERY_SECONDS, DeliveryStatus, room_receiver
from service.security.canonical_json import stringify
from service.storage.change_signals import ChangeSignal, notify_after_commit
from service.storage.tables import deliveries, rooms, subscriptions

SUBSCRIBED = select(subscriptions.c.id, subscriptions.c.events).where(
    subscriptions.c.deleted_at.is_(None)
)
WEBHOOK = select(rooms.c.webhook).where(rooms.c.id == bindparam("room"))


def announce_call(
    connection: Connection, before: CallStatus | None, call: Call, new: Sequence[LadderStep]
) -> None:
    """Write the events of a call's new steps for its subscriptions; ``before`` as in
    ``happenings``.

    Threads that wait for any change of calls are signalled in any case.
    """
    notify_after_commit(connection, ChangeSignal.CALLS)
    events = happenings(before, call, new)
    if not events:
        return
    wanted = [
        (subscription_id, happening)
        for subscription_id, names in connection.execute(SUBSCRIBED)
        for happening in events
        if happening.event in names
    ]
    at = new[-1].at if new else call.started_at
    _write(
        connection, at, ((receiver, each.event, event_document(each)) for receiver, each in wanted)
    )


def announce_room(
    connection: Connection,
    room_id: str,
    at: Millis,
    events: Sequence[tuple[RoomEvent, Mapping[str, Any]]],
) -> None:
    """Write events for the room's own webhook, if it has one with matching patterns."""
    webhook = connection.scalar(WEBHOOK, {"room": room_id})
    if webhook is None:
        return
    receiver, patterns = room_receiver(room_id), webhook["events"]
    _write(
        connection,
        at,
        ((receiver, event, data) for event, data in events if matches(patterns, event)),
    )


def _write(
    connection: Connection, at: Millis, events: Iterable[tuple[str, str, Mapping[str, Any]]]
) -> None:
    rows = [
        {
            "id": ids.new_delivery_id(),
            "receiver": receiver,
            "event": event,
            "body": stringify({"webhookType": event, "data": data}),
            "created_at": at,
            "status": DeliveryStatus.PENDING,
            "attempts": 0,
            "due_at": at,
            "expires_at": at + DELIVERY_SECONDS * 1000,
        }
        for receiver, event, data in events
    ]
    if rows:
        connection.execute(insert(deliveries), rows)
        notify_after_commit(connection, ChangeSignal.OUTBOX)
