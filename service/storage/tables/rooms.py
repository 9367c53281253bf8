"""Rooms, their sessions, and who was in them."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, String, Table

from service.storage.tables.base import Document, RowNumber, metadata
from service.storage.tables.calls import calls

rooms = Table(
    "rooms",
    metadata,
    Column("seq", RowNumber, primary_key=True),
    Column("id", String, nullable=False, unique=True),
    Column("object_id", String, nullable=False, unique=True),
    Column("custom_id", String, unique=True),
    Column("geo_fence", String),
    Column("disabled", Boolean, nullable=False),
    Column("webhook", Document),
    Column("auto_close_type", String),
    Column("auto_close_minutes", BigInteger),
    Column("allowed_participant_ids", Document, nullable=False),
    Column("options", Document, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
)

sessions = Table(
    "sessions",
    metadata,
    Column("seq", RowNumber, primary_key=True),
    Column("id", String, nullable=False, unique=True),
    Column("room_id", String, nullable=False, index=True),
    Column("region", String),
    Column("started_at", BigInteger, nullable=False),
    # Indexed for the sweeps, which look for what is not over.
    Column("ended_at", BigInteger, index=True),
)

# From a join to a leave: one call in one session.
stays = Table(
    "stays",
    metadata,
    Column("seq", RowNumber, primary_key=True),
    Column("session_id", ForeignKey(sessions.c.id), nullable=False, index=True),
    Column("call_id", ForeignKey(calls.c.id), nullable=False, index=True),
    Column("participant_id", String, nullable=False),
    Column("participant_name", String, nullable=False),
    Column("joined_at", BigInteger, nullable=False),
    Column("left_at", BigInteger),
)
