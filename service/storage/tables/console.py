"""Sign-in links of the console, and secrets of the service itself."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, String, Table

from service.storage.tables.base import metadata

sign_in_links = Table(
    "sign_in_links",
    metadata,
    Column("digest", String, primary_key=True),
    Column("expires_at", BigInteger, nullable=False),
)

# Encrypted. The API_SECRET that decrypts it is the right one.
secrets = Table(
    "secrets",
    metadata,
    Column("name", String, primary_key=True),
    Column("sealed", String, nullable=False),
)
