"""Recordings, from the request to the end of their spools; lists and deletion.

Each method is one transaction, conditional on the state that it names, which locks one recording
and then its spools. The row is there before the first byte of a spool.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, insert, select, update
from sqlalchemy.exc import IntegrityError

from service.clock import Millis
from service.domain.paging import Page
from service.domain.recordings import Recording, RecordingKind, RecordingStatus, Spool
from service.errors import Conflict, NotFound
from service.storage.change_signals import ChangeSignal, notify_after_commit
from service.storage.database import Database
from service.storage.listing import Newest, PageRequest, counted, counted_all, page_of
from service.storage.recordings.rows import (
    NOT_FOUND,
    by_seq,
    columns_of,
    locked,
    recording_of,
    spool_columns,
    spool_of,
    spools_of,
)
from service.storage.tables import LISTED, RUNNING, UNFINISHED, nodes, recordings, spools

BATCH = 100
"""Rows that one query of a sweep returns; the rest follow soon after."""

NOTHING_HEARD = "Nothing was recorded."

NEWEST = Newest(recordings, (recordings.c.seq,), by_seq)


class Recordings:
    """Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, recording: Recording, *some: Spool) -> None:
        """Add a recording with its first spools. Raises ``Conflict`` while such a one runs."""
        with self._database.write() as connection:
            try:
                with connection.begin_nested():
                    connection.execute(insert(recordings).values(**columns_of(recording)))
            except IntegrityError:
                raise Conflict("It is being recorded already.") from None
            for spool in some:
                connection.execute(insert(spools).values(**spool_columns(spool)))
            if recording.status is RecordingStatus.WAITING:
                notify_after_commit(connection, ChangeSignal.RECORDINGS)

    def add_spool(self, spool: Spool) -> bool:
        """Add a spool of a recording. Returns false if the recording does not run."""
        with self._database.write() as connection:
            if locked(connection, spool.recording_id).status is not RecordingStatus.RECORDING:
                return False
            connection.execute(insert(spools).values(**spool_columns(spool)))
            return True

    def stop(self, recording_id: str, at: Millis) -> Recording:
        """End a recording that runs. Returns it in any case. Raises ``NotFound``."""
        with self._database.write() as connection:
            before = locked(connection, recording_id)
            if before.status is not RecordingStatus.RECORDING:
                return before
            self._change(connection, recording_id, status=RecordingStatus.STOPPING, ended_at=at)
            return self._settle(connection, recording_id, at)

    def finished(
        self, spool_id: str, first: int, end: int, at: Millis, *, interrupted: bool = False
    ) -> Recording | None:
        """Note the ticks of a finished spool. Returns its recording; ``None`` if this was noted.

        ``interrupted`` says that the node which wrote the spool is gone.
        """
        with self._database.write() as connection:
            of_spool = select(spools.c.recording_id).where(spools.c.id == spool_id)
            recording_id = connection.scalar(of_spool)
            if recording_id is None:
                return None
            locked(connection, recording_id)
            noted = connection.execute(
                update(spools)
                .where(spools.c.id == spool_id, UNFINISHED)
                .values(first=first, end=end, finished_at=at)
            )
            if not noted.rowcount:
                return None
            if interrupted:
                self._change(connection, recording_id, is_interrupted=True)
            return self._settle(connection, recording_id, at)

    def unattended(self) -> tuple[Spool, ...]:
        """Return unfinished spools whose node is gone; the oldest ``BATCH``."""
        with self._database.read() as connection:
            query = select(spools).where(UNFINISHED, spools.c.node_id.not_in(select(nodes.c.id)))
            rows = connection.execute(query.order_by(spools.c.seq).limit(BATCH)).mappings()
            return tuple(spool_of(row) for row in rows)

    def running(
        self, room_id: str, kind: RecordingKind, participant_id: str = ""
    ) -> Recording | None:
        """Return the recording of this kind that runs, if any."""
        query = select(recordings).where(
            RUNNING,
            recordings.c.room_id == room_id,
            recordings.c.kind == kind,
            recordings.c.participant_id == participant_id,
        )
        with self._database.read() as connection:
            row = connection.execute(query).mappings().one_or_none()
            return None if row is None else recording_of(row)

    def get(self, recording_id: str) -> Recording:
        """Return a recording that is not deleted. Raises ``NotFound``."""
        with self._database.read() as connection:
            query = select(recordings).where(recordings.c.id == recording_id, LISTED)
            row = connection.execute(query).mappings().one_or_none()
            if row is None:
                raise NotFound(NOT_FOUND)
            return recording_of(row)

    def spools(self, recording_id: str) -> tuple[Spool, ...]:
        with self._database.read() as connection:
            return spools_of(connection, recording_id)

    def page(
        self,
        kind: RecordingKind,
        *,
        room_id: str | None = None,
        session_id: str | None = None,
        participant_id: str | None = None,
        status: RecordingStatus | None = None,
        number: int = 1,
        per_page: int = 20,
    ) -> Page[Recording]:
        """Return a page of recordings of a kind, newest first."""
        wanted = {
            recordings.c.kind: kind,
            recordings.c.room_id: room_id,
            recordings.c.session_id: session_id,
            recordings.c.participant_id: participant_id,
            recordings.c.status: status,
        }
        conditions: list[ColumnElement[bool]] = [LISTED]
        conditions += [column == value for column, value in wanted.items() if value is not None]
        entries = select(recordings.c.seq).where(*conditions).order_by(recordings.c.seq.desc())
        request = PageRequest(("recordings", *wanted.values()), number, per_page)
        lists = self._database.lists
        with self._database.listing() as connection:
            return page_of(
                request,
                counted(connection, entries),
                lambda most: NEWEST.read(lists, connection, conditions, request, most),
                lambda: counted_all(connection, entries),
            )

    def delete(self, recording_id: str, at: Millis) -> Recording:
        """Delete a recording from all lists, and return it, with the file that is to be deleted.

        Raises ``NotFound``, or ``Conflict`` while its file is not made.
        """
        with self._database.write() as connection:
            recording = locked(connection, recording_id)
            if recording.status not in (RecordingStatus.READY, RecordingStatus.FAILED):
                raise Conflict(f"The recording is {recording.status}; delete it when it is ready.")
            listed = recordings.c.id == recording_id, LISTED
            deleted = connection.execute(update(recordings).where(*listed).values(deleted_at=at))
            if not deleted.rowcount:
                raise NotFound(NOT_FOUND)
            return recording

    def expired(self, before: Millis) -> tuple[Recording, ...]:
        """Return recordings that ended before this time and can be deleted; at most ``BATCH``."""
        over = recordings.c.status.in_((RecordingStatus.READY, RecordingStatus.FAILED))
        query = select(recordings).where(LISTED, recordings.c.ended_at < before, over)
        with self._database.read() as connection:
            oldest = query.order_by(recordings.c.ended_at).limit(BATCH)
            return tuple(recording_of(row) for row in connection.execute(oldest).mappings())

    def _settle(self, connection: Connection, recording_id: str, at: Millis) -> Recording:
        """Let the file be made once the last spool of a stopped recording is finished."""
        recording = locked(connection, recording_id)
        if recording.status is not RecordingStatus.STOPPING:
            return recording
        written = spools_of(connection, recording_id)
        if any(spool.finished_at is None for spool in written):
            return recording
        if not any(spool.end for spool in written):
            failed = {"status": RecordingStatus.FAILED, "detail": NOTHING_HEARD}
            return self._change(connection, recording_id, **failed)
        notify_after_commit(connection, ChangeSignal.RECORDINGS)
        return self._change(connection, recording_id, status=RecordingStatus.WAITING, due_at=at)

    def _change(self, connection: Connection, recording_id: str, **values: object) -> Recording:
        one = update(recordings).where(recordings.c.id == recording_id).values(**values)
        return recording_of(connection.execute(one.returning(*recordings.c)).mappings().one())
