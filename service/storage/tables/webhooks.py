"""Webhook subscriptions, deliveries and signing keys."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, String, Table, text

from service.storage.tables.base import Document, RowNumber, metadata

PENDING = text("status = 'pending'")
FINISHED = text("status <> 'pending'")

subscriptions = Table(
    "subscriptions",
    metadata,
    Column("seq", RowNumber, primary_key=True),
    Column("id", String, nullable=False, unique=True),
    Column("url", String, nullable=False),
    Column("events", Document, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("deleted_at", BigInteger),
)

# The outbox: one event for one receiver, from its change until its delivery.
deliveries = Table(
    "deliveries",
    metadata,
    Column("seq", RowNumber, primary_key=True),
    Column("id", String, nullable=False, unique=True),
    # A subscription's id, or "room:" and a room's.
    Column("receiver", String, nullable=False),
    Column("event", String, nullable=False),
    Column("body", String, nullable=False),
    # Indexed for the deliveries about a call, which are from its time, and for the sweep.
    Column("created_at", BigInteger, nullable=False, index=True),
    Column("status", String, nullable=False),
    Column("attempts", Integer, nullable=False),
    # The time of the next attempt, and the last time for one; only while pending.
    Column("due_at", BigInteger),
    Column("expires_at", BigInteger),
    # Of the latest attempt: its time, the HTTP status of the response, and its error.
    Column("tried_at", BigInteger),
    Column("answer", Integer),
    Column("error", String),
    # Queries must repeat these conditions literally, or no database uses the indexes.
    Index(
        "ix_deliveries_pending", "receiver", "seq", sqlite_where=PENDING, postgresql_where=PENDING
    ),
    Index(
        "ix_deliveries_finished",
        "receiver",
        "seq",
        sqlite_where=FINISHED,
        postgresql_where=FINISHED,
    ),
)

signing_keys = Table(
    "signing_keys",
    metadata,
    Column("seq", RowNumber, primary_key=True),
    Column("id", String, nullable=False, unique=True),
    # PEM (SPKI).
    Column("public_key", String, nullable=False),
    # PEM (PKCS #8), encrypted; not of a key that was given by a setting, or is retired.
    Column("private_key", String),
    Column("created_at", BigInteger, nullable=False),
    Column("retired_at", BigInteger),
)
