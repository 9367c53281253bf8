"""What only the console has."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, String, Table

from service.storage.tables.base import metadata

sign_in_links = Table(
    "sign_in_links",
    metadata,
    Column("digest", String, primary_key=True),
    Column("expires_at", BigInteger, nullable=False),
)
