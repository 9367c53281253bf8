"""Leases of receivers: the events of a receiver are delivered by one node at a time.

The lease's row also counts the failures in a row, so that the node that takes over continues the
backoff.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, delete, func, or_, select

from service.clock import Millis
from service.domain.webhooks import ReceiverLease
from service.storage import leases
from service.storage.database import Database
from service.storage.tables import PENDING, deliveries, receiver_leases


def _waiting() -> Select[Any]:
    """Query the receivers with pending deliveries that the holder may deliver to.

    One step along the index for each receiver: one of them may have a day's deliveries pending.
    """
    first = select(func.min(deliveries.c.receiver).label("receiver")).where(PENDING)
    receivers = first.cte("receivers", recursive=True)
    later = select(func.min(deliveries.c.receiver)).where(
        PENDING, deliveries.c.receiver > receivers.c.receiver
    )
    receivers = receivers.union_all(
        select(later.scalar_subquery()).where(receivers.c.receiver.is_not(None))
    )
    oldest = (
        select(deliveries.c.due_at)
        .where(PENDING, deliveries.c.receiver == receivers.c.receiver)
        .order_by(deliveries.c.seq)
        .limit(1)
    )
    own = receivers.c.receiver == receiver_leases.c.receiver
    return (
        select(
            receivers.c.receiver,
            oldest.scalar_subquery().label("due_at"),
            func.coalesce(receiver_leases.c.failures, 0).label("failures"),
        )
        .select_from(receivers.outerjoin(receiver_leases, own))
        .where(
            receivers.c.receiver.is_not(None),
            or_(receiver_leases.c.receiver.is_(None), leases.is_free(receiver_leases)),
        )
    )


WAITING = _waiting()
"""Built once: building takes longer than executing."""


OWN = leases.of_claim(receiver_leases)
"""Whether a row is the lease in ``parameters``, which no other node has claimed since."""


@dataclass(frozen=True, slots=True)
class WaitingReceiver:
    """A receiver with pending deliveries, when the oldest is due, and its failures in a row."""

    receiver: str
    due_at: Millis
    failures: int = 0


class ReceiverLeases:
    """Thread-safe. ``holder`` is the node."""

    def __init__(self, database: Database, holder: str) -> None:
        self._database = database
        self._holder = holder

    def waiting(self) -> tuple[WaitingReceiver, ...]:
        """Return the receivers with pending deliveries that no other node delivers to."""
        with self._database.read() as connection:
            rows = connection.execute(WAITING, {"holder": self._holder}).all()
        return tuple(WaitingReceiver(row.receiver, row.due_at, row.failures) for row in rows)

    def claim(self, receiver: str) -> ReceiverLease | None:
        """Claim a receiver for ``WORK_LEASE_SECONDS``; ``None`` while another node has it."""
        with self._database.write() as connection:
            row = leases.claim(connection, receiver_leases, receiver, self._holder, failures=0)
        if row is None:
            return None
        return ReceiverLease(receiver, self._holder, row["epoch"], row["failures"])

    def release(self, lease: ReceiverLease) -> None:
        """Let any node claim the receiver. Has no effect on a lease that is lost."""
        with self._database.write() as connection:
            leases.end(connection, receiver_leases, OWN, parameters(lease))

    def release_all(self) -> None:
        """Release every receiver that this node has claimed."""
        with self._database.write() as connection:
            leases.end(connection, receiver_leases, receiver_leases.c.holder == self._holder)

    def forget(self, lease: ReceiverLease) -> None:
        """Delete the row of a receiver that was deleted."""
        with self._database.write() as connection:
            connection.execute(delete(receiver_leases).where(OWN), parameters(lease))


def parameters(lease: ReceiverLease) -> dict[str, object]:
    """Return the parameters of ``OWN``."""
    return {
        "lease_name": lease.receiver,
        "lease_holder": lease.holder,
        "lease_epoch": lease.epoch,
    }
