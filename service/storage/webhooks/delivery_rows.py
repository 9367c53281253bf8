"""Deliveries as rows, and the statements of each attempt, built once."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Integer, RowMapping, String, bindparam, exists, select, update

from service.domain.webhooks import Delivery, DeliveryStatus
from service.storage.tables import PENDING, deliveries
from service.storage.webhooks.receiver_leases import OWN

OLDEST = (
    select(deliveries)
    .where(PENDING, deliveries.c.receiver == bindparam("of", type_=String))
    .order_by(deliveries.c.seq)
    .limit(bindparam("most", type_=Integer))
)

IS_HELD = exists().where(OWN)
"""Whether no other node has claimed the receiver of the lease in ``parameters``."""

DELIVERED = (
    update(deliveries)
    .where(deliveries.c.id == bindparam("delivery", type_=String), IS_HELD)
    .values(
        status=DeliveryStatus.DELIVERED,
        attempts=deliveries.c.attempts + 1,
        due_at=None,
        expires_at=None,
        tried_at=bindparam("at", type_=BigInteger),
        answer=bindparam("status_code", type_=Integer),
        error=None,
    )
)


def dead() -> dict[str, Any]:
    return {"status": DeliveryStatus.DEAD, "due_at": None, "expires_at": None}


def delivery_of(row: RowMapping) -> Delivery:
    return Delivery(
        id=row["id"],
        receiver=row["receiver"],
        event=row["event"],
        body=row["body"],
        created_at=row["created_at"],
        status=DeliveryStatus(row["status"]),
        attempts=row["attempts"],
        due_at=row["due_at"],
        expires_at=row["expires_at"],
        tried_at=row["tried_at"],
        answer=row["answer"],
        error=row["error"],
    )
