"""Events in the outbox, written as the service writes them."""

from __future__ import annotations

import threading
from dataclasses import asdict
from typing import Any

from sqlalchemy import insert

from service.clock import Millis
from service.domain.webhooks import Delivery
from service.storage.change_signals import ChangeSignal, notify_after_commit
from service.storage.database import Database
from service.storage.tables import deliveries, subscriptions
from service.storage.webhooks.outbox import Outbox
from tests.support.receivers import PATIENCE

DAY = 24 * 60 * 60 * 1000


def a_delivery(number: int, receiver: str = "wh_1", at: Millis = 1_000, **changes: Any) -> Delivery:
    """Return a pending delivery whose body is its number."""
    made = {
        "id": f"dl_{receiver}_{number}",
        "receiver": receiver,
        "event": "call-started",
        "body": str(number),
        "created_at": at,
        "due_at": at,
        "expires_at": at + DAY,
    }
    return Delivery(**{**made, **changes})


def write(database: Database, *some: Delivery) -> None:
    with database.write() as connection:
        connection.execute(insert(deliveries), [asdict(delivery) for delivery in some])
        notify_after_commit(connection, ChangeSignal.OUTBOX)


def nothing_waits(outbox: Outbox) -> None:
    """Return when no delivery is pending."""
    moment = threading.Event()
    for _ in range(PATIENCE * 20):
        if not outbox.count():
            return
        moment.wait(0.05)
    raise AssertionError(f"{outbox.count()} deliveries are pending")


def subscribe(
    database: Database, receiver: str, url: str, *, deleted_at: Millis | None = None
) -> None:
    with database.write() as connection:
        connection.execute(
            insert(subscriptions).values(
                id=receiver,
                url=url,
                events=["call-started"],
                created_at=1,
                updated_at=1,
                deleted_at=deleted_at,
            )
        )
