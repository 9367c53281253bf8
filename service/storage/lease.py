"""The lease of a database: one process at a time serves from it.

On Postgres the lease is a row that is renewed, and expires by the database's clock. A session's
advisory lock would not hold behind a pooler, nor over a lost connection. The lease of a killed
process ends at once for servers of the same machine, and after ``LEASE_SECONDS`` for others. On
SQLite the lease is a lock on a file beside the database, which ends with the process.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import IO, Protocol

from sqlalchemy import Connection, Row, delete, extract, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from service.clock import Millis
from service.domain import ids
from service.process import identity
from service.storage.database import Database
from service.storage.tables import serving

if sys.platform != "win32":
    import fcntl

LEASE_SECONDS = 10
RENEW_SECONDS = 3

ALL = "calls"
"""Name of the only lease, which covers all calls."""


class Lease(Protocol):
    lapses: bool
    """Whether the lease has to be renewed."""

    def take(self) -> bool:
        """Take or renew the lease. Returns false if another process has it."""

    def renew(self) -> bool:
        """Renew the lease. Returns false if another process has taken it."""

    def release(self) -> None: ...


def lease_of(database: Database) -> Lease:
    return RowLease(database) if database.file is None else FileLease(database.file)


class FileLease:
    lapses = False

    def __init__(self, database: Path) -> None:
        self._path = Path(f"{database}.serving")
        self._file: IO[str] | None = None

    def take(self) -> bool:
        if self._file is not None or sys.platform == "win32":
            return True
        self._path.touch(mode=0o600)
        file = self._path.open("a")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return False
        self._file = file
        return True

    def renew(self) -> bool:
        return True

    def release(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()


class RowLease:
    lapses = True

    def __init__(self, database: Database) -> None:
        self._database = database
        self._holder = ids.new_leg_id()

    def take(self) -> bool:
        with self._database.write() as connection:
            now = _now(connection)
            row = connection.execute(select(serving).with_for_update()).one_or_none()
            if row is None:
                return self._insert(connection, now)
            if row.holder != self._holder and row.expires_at > now and not _is_gone(row):
                return False
            connection.execute(update(serving).values(self._values(now)))
            return True

    def renew(self) -> bool:
        """Insert the row again if it was deleted: no other process has taken the lease then."""
        with self._database.write() as connection:
            now = _now(connection)
            own = update(serving).where(serving.c.holder == self._holder)
            if connection.execute(own.values(expires_at=_expiry(now))).rowcount:
                return True
            if connection.execute(select(serving.c.holder)).first() is not None:
                return False
            return self._insert(connection, now)

    def release(self) -> None:
        with self._database.write() as connection:
            connection.execute(delete(serving).where(serving.c.holder == self._holder))

    def _insert(self, connection: Connection, now: Millis) -> bool:
        try:
            with connection.begin_nested():
                connection.execute(insert(serving).values(what=ALL, **self._values(now)))
        except IntegrityError:
            return False
        return True

    def _values(self, now: Millis) -> dict[str, object]:
        pid = os.getpid()
        return {
            "holder": self._holder,
            "machine": identity.machine(),
            "pid": pid,
            "pid_began": identity.began(pid),
            "expires_at": _expiry(now),
        }


def _now(connection: Connection) -> Millis:
    clock = select(extract("epoch", func.clock_timestamp()))
    return int(connection.execute(clock).scalar_one() * 1000)


def _expiry(now: Millis) -> Millis:
    return now + LEASE_SECONDS * 1000


def _is_gone(row: Row[tuple[object, ...]]) -> bool:
    """Whether the holder was a process of this machine that has ended."""
    here = identity.machine()
    return here is not None and row.machine == here and identity.began(row.pid) != row.pid_began
