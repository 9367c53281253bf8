"""The outbox: deliveries of events to receivers, in order, and the progress of each.

A delivery is written in the transaction of the change that it is about. It is pending until it is
delivered or dead. Of the finished ones each receiver keeps the newest. The outcome of an attempt is
written only by the node that still has the receiver's lease.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    Connection,
    RowMapping,
    TextClause,
    delete,
    func,
    select,
    update,
)

from service.clock import Millis
from service.domain.webhooks import (
    DELIVERY_SECONDS,
    Delivery,
    DeliveryStatus,
    ReceiverLease,
    room_receiver,
)
from service.errors import NotFound
from service.storage.change_signals import ChangeSignal, notify_after_commit
from service.storage.database import Database
from service.storage.tables import (
    FINISHED,
    PENDING,
    deliveries,
    receiver_leases,
    rooms,
    subscriptions,
)
from service.storage.webhooks.delivery_rows import (
    DELIVERED,
    IS_HELD,
    OLDEST,
    dead,
    delivery_of,
)
from service.storage.webhooks.receiver_leases import OWN, parameters

KEPT = 100
"""Finished deliveries that a receiver keeps."""

SURPLUS = 50
"""Further ones that are kept until a prune: to delete each at once would double the writes."""

AFTERMATH = 3_600_000
"""Time after a call's end in which events about it may still be written."""

PIECE = 500
"""Rows that one transaction changes at most, so that other writers do not wait long."""


class Outbox:
    """Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def count(self) -> int:
        """Return the number of pending deliveries of all receivers together."""
        with self._database.read() as connection:
            pending = select(func.count()).select_from(deliveries).where(PENDING)
            return connection.execute(pending).scalar_one()

    def pending(self, receiver: str, limit: int) -> tuple[Delivery, ...]:
        """Return pending deliveries of a receiver, oldest first."""
        values = {"of": receiver, "most": limit}
        with self._database.read() as connection:
            return tuple(delivery_of(row) for row in connection.execute(OLDEST, values).mappings())

    def address(self, receiver: str) -> str | None:
        """Return the URL of the receiver; ``None`` if it was deleted."""
        room_id = receiver.removeprefix(room_receiver(""))
        with self._database.read() as connection:
            if room_id != receiver:
                wanted = select(rooms.c.webhook).where(rooms.c.id == room_id)
                webhook = connection.scalar(wanted)
                return None if webhook is None else webhook["endPoint"]
            url: str | None = connection.scalar(
                select(subscriptions.c.url).where(
                    subscriptions.c.id == receiver, subscriptions.c.deleted_at.is_(None)
                )
            )
            return url

    def delivered(self, lease: ReceiverLease, delivery_id: str, at: Millis, answer: int) -> bool:
        """Note a success. Returns false where the lease is lost or the delivery was deleted."""
        with self._database.write() as connection:
            if lease.failures and not _count(connection, lease, 0):
                return False
            values = {"delivery": delivery_id, "at": at, "status_code": answer}
            return connection.execute(DELIVERED, values | parameters(lease)).rowcount > 0

    def failed(
        self,
        lease: ReceiverLease,
        delivery_id: str,
        at: Millis,
        answer: int | None,
        error: str,
        due_at: Millis | None,
    ) -> bool:
        """Note a failed attempt: the next one is at ``due_at``, or the delivery is dead.

        ``lease.failures`` counts it. A delivery that has died in the meantime stays dead. Returns
        false where the lease is lost.
        """
        changes = dead() if due_at is None else {"due_at": due_at}
        with self._database.write() as connection:
            if not _count(connection, lease, lease.failures):
                return False
            connection.execute(
                update(deliveries)
                .where(deliveries.c.id == delivery_id, PENDING)
                .values(
                    attempts=deliveries.c.attempts + 1,
                    tried_at=at,
                    answer=answer,
                    error=error,
                    **changes,
                )
            )
            return True

    def give_up(self, lease: ReceiverLease, at: Millis, error: str) -> int:
        """Give up all pending deliveries of a deleted receiver, and return their number."""
        return self._kill(lease, error, tried_at=at)

    def expire(self, lease: ReceiverLease, at: Millis, error: str, due_at: Millis) -> int:
        """Give up expired deliveries, and return how many. The next one is due at ``due_at``."""
        lost = self._kill(lease, error, expired_at=at)
        oldest = select(func.min(deliveries.c.seq)).where(
            PENDING, deliveries.c.receiver == lease.receiver
        )
        with self._database.write() as connection:
            connection.execute(
                update(deliveries)
                .where(deliveries.c.seq == oldest.scalar_subquery(), IS_HELD)
                .values(due_at=due_at),
                parameters(lease),
            )
        return lost

    def recent(self, receiver: str, limit: int = KEPT) -> tuple[Delivery, ...]:
        """Return the latest deliveries of a receiver, newest first."""
        with self._database.read() as connection:
            rows = [
                row
                for some in (PENDING, FINISHED)
                for row in _newest(connection, receiver, some, limit)
            ]
        rows.sort(key=lambda row: row["seq"], reverse=True)
        return tuple(delivery_of(row) for row in rows[:limit])

    def of_call(
        self, call_id: str, since: Millis, until: Millis | None = None, limit: int = KEPT
    ) -> tuple[Delivery, ...]:
        """Return the deliveries about a call that began ``since`` and ended before ``until``, to
        any receiver, in order.
        """
        about_it = [
            deliveries.c.created_at >= since,
            deliveries.c.body.contains(call_id, autoescape=True),
        ]
        if until is not None:
            about_it.append(deliveries.c.created_at < until)
        in_order = deliveries.c.created_at, deliveries.c.seq
        with self._database.listing() as connection:
            wanted = select(deliveries).where(*about_it).order_by(*in_order).limit(limit)
            return tuple(map(delivery_of, connection.execute(wanted).mappings()))

    def redeliver(self, receiver: str, delivery_id: str, at: Millis) -> Delivery:
        """Make a delivery pending, as if it had never been tried. Raises ``NotFound``."""
        with self._database.write() as connection:
            row = (
                connection.execute(
                    update(deliveries)
                    .where(deliveries.c.id == delivery_id, deliveries.c.receiver == receiver)
                    .values(
                        status=DeliveryStatus.PENDING,
                        attempts=0,
                        due_at=at,
                        expires_at=at + DELIVERY_SECONDS * 1000,
                    )
                    .returning(*deliveries.c)
                )
                .mappings()
                .one_or_none()
            )
            if row is None:
                raise NotFound("Delivery not found")
            notify_after_commit(connection, ChangeSignal.OUTBOX)
            return delivery_of(row)

    def prune(self, receiver: str) -> int:
        """Delete all finished deliveries of a receiver but the newest, and return their number."""
        finished = select(deliveries.c.seq).where(FINISHED, deliveries.c.receiver == receiver)
        newest = finished.order_by(deliveries.c.seq.desc())
        with self._database.read() as connection:
            if connection.scalar(newest.offset(KEPT + SURPLUS).limit(1)) is None:
                return 0
            last = connection.scalar(newest.offset(KEPT).limit(1))
        old = finished.where(deliveries.c.seq <= last).order_by(deliveries.c.seq).limit(PIECE)
        old = old.with_for_update()
        forgotten = 0
        while True:
            with self._database.write() as connection:
                count = connection.execute(
                    delete(deliveries).where(deliveries.c.seq.in_(old))
                ).rowcount
            forgotten += count
            if count < PIECE:
                return forgotten

    def _kill(
        self,
        lease: ReceiverLease,
        error: str,
        *,
        expired_at: Millis | None = None,
        **changes: Any,
    ) -> int:
        oldest = (
            select(deliveries.c.seq)
            .where(PENDING, deliveries.c.receiver == lease.receiver)
            .order_by(deliveries.c.seq)
            .limit(PIECE)
            .with_for_update()
        )
        lost = update(deliveries).where(deliveries.c.seq.in_(oldest), IS_HELD)
        if expired_at is not None:
            lost = lost.where(deliveries.c.expires_at <= expired_at)
        lost = lost.values(error=error, **dead(), **changes)
        total = 0
        while True:
            with self._database.write() as connection:
                count = connection.execute(lost, parameters(lease)).rowcount
            total += count
            if count < PIECE:
                return total


def _count(connection: Connection, lease: ReceiverLease, failures: int) -> bool:
    """Store the failures in a row. Locks the lease; returns false where it is lost."""
    counted = update(receiver_leases).where(OWN).values(failures=failures)
    return connection.execute(counted, parameters(lease)).rowcount > 0


def _newest(
    connection: Connection, receiver: str, some: TextClause, limit: int
) -> list[RowMapping]:
    wanted = select(deliveries).where(some, deliveries.c.receiver == receiver)
    newest = wanted.order_by(deliveries.c.seq.desc()).limit(limit)
    return list(connection.execute(newest).mappings())
