"""The process that serves from this database."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, String, Table

from service.storage.tables.base import metadata

# One row on Postgres. On SQLite a lock on a file does the same.
serving = Table(
    "serving",
    metadata,
    Column("what", String, primary_key=True),
    # New with each start.
    Column("holder", String, nullable=False),
    # Host and process, so that the process's end can be seen on the same machine.
    Column("machine", String),
    Column("pid", Integer, nullable=False),
    Column("pid_began", String),
    # By the database's clock.
    Column("expires_at", BigInteger, nullable=False),
)
