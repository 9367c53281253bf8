"""The count of dialled numbers, by day."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, Table

from service.storage.tables.base import metadata

dials = Table(
    "dials",
    metadata,
    # Days of UTC since 1970.
    Column("day", BigInteger, primary_key=True, autoincrement=False),
    Column("count", Integer, nullable=False),
)
