"""The time base of stored deadlines."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, String, Table

from service.storage.tables.base import metadata

time_base = Table(
    "time_base",
    metadata,
    Column("boot", String, primary_key=True),
    Column("began_at", BigInteger, nullable=False),
)
