"""Leases as rows: one holder at a time, until a time by the database's clock.

A lease that its holder does not renew lapses. Each claim raises the epoch, and statements that only
the holder may make are conditional on it. An expiry that is much further away than
``WORK_LEASE_SECONDS`` was written before the clock was set back, and counts as lapsed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    RowMapping,
    String,
    Table,
    and_,
    bindparam,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from service.storage.database_time import DATABASE_NOW

WORK_LEASE_SECONDS = 20
"""Longer than a turn of deliveries and any request to a provider, so none has to renew its lease
while it waits for an answer."""

UNTIL = DATABASE_NOW + WORK_LEASE_SECONDS * 1000

TOO_FAR = DATABASE_NOW + 2 * WORK_LEASE_SECONDS * 1000
"""Not exactly ``UNTIL``, because a clock may be set back a little while a lease is held."""

HOLDER = bindparam("holder", type_=String)


def is_free(table: Table) -> ColumnElement[bool]:
    """Whether the parameter ``holder`` may claim the lease of a row."""
    held_until = table.c.expires_at
    return or_(table.c.holder == HOLDER, held_until <= DATABASE_NOW, held_until > TOO_FAR)


def claim(
    connection: Connection, table: Table, name: str, holder: str, **columns: Any
) -> RowMapping | None:
    """Claim the lease of a name, or claim it again, and return its row.

    ``columns`` are those of a new row. Returns ``None`` while another holder has the lease.
    """
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    (key,) = table.primary_key.columns
    claimed = {"holder": HOLDER, "expires_at": UNTIL}
    new = insert(table).values({key.name: name, "epoch": 1, **claimed, **columns})
    statement = new.on_conflict_do_update(
        index_elements=[key], set_={**claimed, "epoch": table.c.epoch + 1}, where=is_free(table)
    )
    rows = connection.execute(statement.returning(*table.c), {"holder": holder})
    return rows.mappings().one_or_none()


def of_claim(table: Table) -> ColumnElement[bool]:
    """Whether a row is still the lease of this claim.

    The parameters are ``lease_name``, ``lease_holder`` and ``lease_epoch``.
    """
    (key,) = table.primary_key.columns
    return and_(
        key == bindparam("lease_name", type_=String),
        table.c.holder == bindparam("lease_holder", type_=String),
        table.c.epoch == bindparam("lease_epoch", type_=BigInteger),
    )


def end(
    connection: Connection,
    table: Table,
    whose: ColumnElement[bool],
    values: Mapping[str, object] | None = None,
) -> None:
    """End some leases at once. They are locked in the order of names, to avoid deadlocks."""
    (key,) = table.primary_key.columns
    some = select(key).where(whose, table.c.expires_at > 0).order_by(key).with_for_update()
    connection.execute(update(table).where(key.in_(some)).values(expires_at=0), values)
