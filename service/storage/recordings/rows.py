"""Recordings and spools as rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, select

from service.domain.recordings import (
    Recording,
    RecordingFile,
    RecordingKind,
    RecordingStatus,
    Spool,
)
from service.errors import NotFound
from service.storage.tables import recordings, spools

NOT_FOUND = "Recording not found"


def locked(connection: Connection, recording_id: str) -> Recording:
    """Lock a recording until the end of the transaction. Raises ``NotFound``."""
    query = select(recordings).where(recordings.c.id == recording_id).with_for_update()
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        raise NotFound(NOT_FOUND)
    return recording_of(row)


def by_seq(connection: Connection, seqs: Select[Any]) -> Sequence[Recording]:
    """Return recordings by their numbers, newest first."""
    found = select(recordings).where(recordings.c.seq.in_(seqs)).order_by(recordings.c.seq.desc())
    return [recording_of(row) for row in connection.execute(found).mappings()]


def columns_of(recording: Recording) -> dict[str, Any]:
    """Return the columns of a new recording, whose file nobody makes yet."""
    return {
        "id": recording.id,
        "kind": recording.kind,
        "room_id": recording.room_id,
        "session_id": recording.session_id,
        "participant_id": recording.participant_id,
        "file_format": recording.file_format,
        "status": recording.status,
        "options": dict(recording.options),
        "started_at": recording.started_at,
        "ended_at": recording.ended_at,
        "is_interrupted": recording.is_interrupted,
        "attempts": recording.attempts,
        "due_at": recording.due_at,
        "detail": recording.detail,
        "expires_at": 0,
    }


def spool_columns(spool: Spool) -> dict[str, Any]:
    return {name: getattr(spool, name) for name in Spool.__slots__}


def recording_of(row: RowMapping) -> Recording:
    file = None
    if row["file_key"] is not None:
        file = RecordingFile(
            row["file_key"], row["file_type"], row["file_size"], row["file_millis"]
        )
    return Recording(
        id=row["id"],
        kind=RecordingKind(row["kind"]),
        room_id=row["room_id"],
        session_id=row["session_id"],
        participant_id=row["participant_id"],
        file_format=row["file_format"],
        status=RecordingStatus(row["status"]),
        options=row["options"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        is_interrupted=row["is_interrupted"],
        attempts=row["attempts"],
        due_at=row["due_at"],
        detail=row["detail"],
        file=file,
    )


def spool_of(row: RowMapping) -> Spool:
    return Spool(**{name: row[name] for name in Spool.__slots__})


def spools_of(connection: Connection, recording_id: str) -> tuple[Spool, ...]:
    """Return the spools of a recording, in order."""
    query = select(spools).where(spools.c.recording_id == recording_id).order_by(spools.c.seq)
    return tuple(spool_of(row) for row in connection.execute(query).mappings())
