"""Recordings and their spools."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    UniqueConstraint,
)

from service.domain.recordings import RecordingStatus
from service.storage.tables.base import Document, RowNumber, among, metadata, partial

recordings = Table(
    "recordings",
    metadata,
    Column("seq", RowNumber, primary_key=True),
    Column("id", String, nullable=False, unique=True),
    Column("kind", String, nullable=False),
    # Not foreign keys: a recording outlives its room, session and calls.
    Column("room_id", String, nullable=False),
    Column("session_id", String),
    Column("participant_id", String, nullable=False),
    Column("file_format", String, nullable=False),
    Column("status", String, nullable=False),
    Column("options", Document, nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    Column("is_interrupted", Boolean, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due_at", BigInteger),
    Column("detail", String),
    # The node that makes the file, until its lease ends by the database's clock.
    Column("holder", String),
    Column("expires_at", BigInteger, nullable=False),
    Column("file_key", String),
    Column("file_type", String),
    Column("file_size", BigInteger),
    Column("file_millis", BigInteger),
    # The file is gone then, and no list has the row.
    Column("deleted_at", BigInteger),
)

RUNNING = among(recordings.c.status, (RecordingStatus.RECORDING,))
FILE_DUE = among(recordings.c.status, (RecordingStatus.WAITING,))
LISTED = recordings.c.deleted_at.is_(None)

# One recording of a kind at a time. Queries must repeat the condition to use it.
Index(
    "ix_recordings_running",
    recordings.c.room_id,
    recordings.c.kind,
    recordings.c.participant_id,
    unique=True,
    sqlite_where=RUNNING,
    postgresql_where=RUNNING,
)
partial("ix_recordings_file_due", recordings.c.due_at, recordings.c.seq, where=FILE_DUE)
for name in ("kind", "room_id", "session_id", "participant_id"):
    partial(f"ix_recordings_{name}_newest", recordings.c[name], recordings.c.seq, where=LISTED)
partial("ix_recordings_ended_at", recordings.c.ended_at, where=LISTED)

spools = Table(
    "spools",
    metadata,
    Column("seq", RowNumber, primary_key=True),
    Column("id", String, nullable=False),
    Column("recording_id", ForeignKey(recordings.c.id), nullable=False, index=True),
    Column("call_id", String, nullable=False),
    Column("participant_id", String, nullable=False),
    Column("node_id", String, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    # Ticks: 20 ms each, since 1970.
    Column("first", BigInteger, nullable=False),
    Column("end", BigInteger, nullable=False),
    Column("finished_at", BigInteger),
    UniqueConstraint("id"),
)

UNFINISHED = spools.c.finished_at.is_(None)

partial("ix_spools_unfinished", spools.c.seq, where=UNFINISHED)
