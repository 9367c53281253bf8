"""Rooms, their sessions, and the presences in them."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, String, Table

from service.storage.tables.base import Document, RowNumber, metadata, partial
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
    Column("room_id", String, nullable=False),
    Column("region", String),
    Column("started_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
)

ONGOING = sessions.c.ended_at.is_(None)
OVER = sessions.c.ended_at.is_not(None)

NEWEST = (sessions.c.started_at, sessions.c.seq)

partial("ix_sessions_ongoing", sessions.c.room_id, sessions.c.seq, where=ONGOING)
partial("ix_sessions_newest", *NEWEST, where=OVER)
partial("ix_sessions_room_id_newest", sessions.c.room_id, *NEWEST, where=OVER)

# A presence, from a join to a leave: one call in one session.
stays = Table(
    "stays",
    metadata,
    Column("seq", RowNumber, primary_key=True),
    Column("session_id", ForeignKey(sessions.c.id), nullable=False),
    Column("call_id", ForeignKey(calls.c.id), nullable=False, index=True),
    Column("participant_id", String, nullable=False),
    Column("participant_name", String, nullable=False),
    Column("joined_at", BigInteger, nullable=False),
    Column("left_at", BigInteger),
)

PRESENT = stays.c.left_at.is_(None)

# The last leave ends a session, which may have had very many presences.
Index("ix_stays_session_id_left_at", stays.c.session_id, stays.c.left_at)
partial("ix_stays_present", stays.c.session_id, where=PRESENT)
partial("ix_stays_present_call", stays.c.call_id, where=PRESENT)
