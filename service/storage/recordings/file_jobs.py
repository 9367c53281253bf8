"""Jobs that make the files of recordings: one node at a time makes a file, with a lease in its row.

A node that is killed meanwhile loses its lease, and another one begins anew.
"""

from __future__ import annotations

import threading
from typing import Any

from sqlalchemy import Connection, Update, func, or_, select, update

from service.clock import Millis
from service.domain.recordings import Recording, RecordingFile, RecordingStatus
from service.storage.change_signals import ChangeSignal
from service.storage.database import Database
from service.storage.database_time import DATABASE_NOW
from service.storage.leases import TOO_FAR, UNTIL
from service.storage.recordings.rows import recording_of
from service.storage.tables import FILE_DUE, recordings

NOBODY: dict[str, Any] = {"holder": None, "expires_at": 0}


class FileJobs:
    """Thread-safe. ``holder`` is the node."""

    def __init__(self, database: Database, holder: str) -> None:
        self._database = database
        self._holder = holder

    @property
    def signal(self) -> threading.Event:
        """Set after a transaction that added a job."""
        return self._database.signals[ChangeSignal.RECORDINGS]

    def take(self, now: Millis) -> Recording | None:
        """Lease the recording that has been due longest. The attempt is counted at once, in case
        that it is what ends the node.
        """
        held_until = recordings.c.expires_at
        is_free = or_(held_until <= DATABASE_NOW, held_until > TOO_FAR)
        due = select(recordings.c.seq).where(FILE_DUE, recordings.c.due_at <= now, is_free)
        oldest = due.order_by(recordings.c.due_at, recordings.c.seq).limit(1)
        first = oldest.with_for_update(skip_locked=True).scalar_subquery()
        with self._database.write() as connection:
            return _changed(
                connection,
                update(recordings)
                .where(recordings.c.seq == first)
                .values(
                    holder=self._holder,
                    expires_at=UNTIL,
                    attempts=recordings.c.attempts + 1,
                ),
            )

    def renew(self, recording: Recording) -> bool:
        """Renew the lease. Returns false if another node makes the file."""
        with self._database.write() as connection:
            return _changed(connection, self._own(recording).values(expires_at=UNTIL)) is not None

    def made(self, recording: Recording, file: RecordingFile) -> Recording | None:
        """Note the file. Returns ``None`` if another node makes it."""
        with self._database.write() as connection:
            return _changed(
                connection,
                self._own(recording).values(
                    status=RecordingStatus.READY,
                    file_key=file.key,
                    file_type=file.format,
                    file_size=file.size,
                    file_millis=file.millis,
                    due_at=None,
                    detail=None,
                    **NOBODY,
                ),
            )

    def missed(self, recording: Recording, detail: str, due_at: Millis | None) -> Recording | None:
        """Note a failed attempt: the next one is at ``due_at``, or the recording has failed.

        Returns ``None`` if another node makes the file.
        """
        status = RecordingStatus.FAILED if due_at is None else RecordingStatus.WAITING
        with self._database.write() as connection:
            missed = self._own(recording).values(
                status=status, detail=detail, due_at=due_at, **NOBODY
            )
            return _changed(connection, missed)

    def next_due(self) -> Millis | None:
        """Return when the next file is due, if any is waiting."""
        with self._database.read() as connection:
            found: Millis | None = connection.scalar(
                select(func.min(recordings.c.due_at)).where(FILE_DUE)
            )
            return found

    def _own(self, recording: Recording) -> Update:
        return update(recordings).where(
            recordings.c.id == recording.id,
            FILE_DUE,
            recordings.c.holder == self._holder,
            recordings.c.attempts == recording.attempts,
        )


def _changed(connection: Connection, change: Update) -> Recording | None:
    row = connection.execute(change.returning(*recordings.c)).mappings().one_or_none()
    return None if row is None else recording_of(row)
