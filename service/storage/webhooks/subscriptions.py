"""Subscriptions to events of calls.

A deleted one stays in the table, so that its deliveries can be inspected; nothing is sent to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, insert, select, update

from service.clock import Millis
from service.domain.paging import Page
from service.domain.webhook_events import CallEvent
from service.domain.webhooks import DeliveryStatus, Subscription
from service.errors import NotFound
from service.storage.database import Database
from service.storage.short_lists import page_of_all
from service.storage.tables import PENDING, deliveries, subscriptions

EDITABLE = frozenset({"url", "events"})

NOT_FOUND = "Webhook not found"
GONE = "The webhook was deleted."


class Subscriptions:
    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, subscription: Subscription) -> None:
        with self._database.write() as connection:
            connection.execute(
                insert(subscriptions).values(
                    id=subscription.id,
                    url=subscription.url,
                    events=list(subscription.events),
                    created_at=subscription.created_at,
                    updated_at=subscription.updated_at,
                )
            )

    def get(self, subscription_id: str) -> Subscription:
        """Return a subscription. Raises ``NotFound``."""
        with self._database.read() as connection:
            query = select(subscriptions).where(*_live(subscription_id))
            row = connection.execute(query).mappings().one_or_none()
        if row is None:
            raise NotFound(NOT_FOUND)
        return _subscription(row)

    def page(
        self, *, search: str | None = None, number: int = 1, per_page: int = 20
    ) -> Page[Subscription]:
        """Return a page of subscriptions, newest first. ``search`` is part of the URL."""
        conditions: list[ColumnElement[bool]] = [subscriptions.c.deleted_at.is_(None)]
        if search is not None:
            conditions.append(subscriptions.c.url.icontains(search, autoescape=True))
        newest = select(subscriptions).where(*conditions).order_by(subscriptions.c.seq.desc())
        with self._database.read() as connection:
            return page_of_all(connection, newest, _subscription, number, per_page)

    def update(self, subscription_id: str, changes: Mapping[str, Any], at: Millis) -> Subscription:
        """Change some of ``EDITABLE`` and return the result. Raises ``NotFound``.

        Pending deliveries go to the new URL.
        """
        if not changes.keys() <= EDITABLE:
            raise ValueError(f"not editable: {', '.join(sorted(changes.keys() - EDITABLE))}")
        with self._database.write() as connection:
            changed = (
                update(subscriptions)
                .where(*_live(subscription_id))
                .values(**changes, updated_at=at)
                .returning(*subscriptions.c)
            )
            row = connection.execute(changed).mappings().one_or_none()
            if row is None:
                raise NotFound(NOT_FOUND)
            return _subscription(row)

    def delete(self, subscription_id: str, at: Millis) -> None:
        """Delete a subscription, and give up its pending deliveries. Raises ``NotFound``."""
        with self._database.write() as connection:
            done = connection.execute(
                update(subscriptions).where(*_live(subscription_id)).values(deleted_at=at)
            )
            if done.rowcount == 0:
                raise NotFound(NOT_FOUND)
            waiting = select(deliveries.c.seq).where(
                PENDING, deliveries.c.receiver == subscription_id
            )
            in_order = waiting.order_by(deliveries.c.seq).with_for_update()
            connection.execute(
                update(deliveries)
                .where(deliveries.c.seq.in_(in_order))
                .values(status=DeliveryStatus.DEAD, due_at=None, expires_at=None, error=GONE)
            )


def _live(subscription_id: str) -> tuple[ColumnElement[bool], ...]:
    return subscriptions.c.id == subscription_id, subscriptions.c.deleted_at.is_(None)


def _subscription(row: RowMapping) -> Subscription:
    return Subscription(
        id=row["id"],
        url=row["url"],
        events=tuple(CallEvent(name) for name in row["events"]),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )
