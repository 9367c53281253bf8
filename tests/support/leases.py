"""Leases whose time is over, without a wait for the database's clock."""

from __future__ import annotations

from sqlalchemy import update

from service.storage.database import Database
from service.storage.tables import provider_requests, receiver_leases, work_leases

LONG_AGO = 1


def lapse(database: Database) -> None:
    """Let all leases lapse, as if their holders had stalled."""
    with database.write() as connection:
        for table in (work_leases, receiver_leases, provider_requests):
            connection.execute(update(table).values(expires_at=LONG_AGO))
