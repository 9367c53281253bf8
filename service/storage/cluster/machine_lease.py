"""The lease of a database: the nodes of one machine at a time serve from it.

On Postgres the lease is a row that is renewed, and expires by the database's clock. A session's
advisory lock would not hold behind a pooler, nor over a lost connection. The lease of a machine
whose processes have ended is free at once for processes of the same host, and after
``LEASE_SECONDS`` for others. On SQLite the lease is a lock on a file beside the database, which
ends with the processes that have the file open.

All methods work inside a transaction that writes.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Protocol

from sqlalchemy import ColumnElement, Connection, Row, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from service.clock import Millis
from service.domain.nodes import LEASE_SECONDS
from service.process import identity
from service.storage.cluster.time import time_of
from service.storage.database import Database
from service.storage.tables import nodes, serving

if sys.platform != "win32":
    import fcntl

ALL = "calls"
"""Name of the only lease, which covers all calls."""


class MachineLease(Protocol):
    def take(self, connection: Connection) -> bool:
        """Take or renew the lease. Returns false if another machine has it."""

    def renew(self, connection: Connection) -> bool:
        """Renew the lease. Returns false if another machine has taken it."""

    def release(self, connection: Connection) -> None:
        """Give the lease to the next machine."""


def lease_of(database: Database, machine_id: str, descriptor: int | None = None) -> MachineLease:
    """Return the lease for a node of a machine. ``descriptor`` is what ``open_file`` returned to
    the process that has started the nodes of the machine.
    """
    if database.file is None:
        return RowLease(machine_id, time_of(database))
    return FileLease(database.file, descriptor)


def open_file(url: str) -> int | None:
    """Open the file whose lock is the lease, for the processes that will be forked from this one.

    They share the lock. Returns ``None`` on Postgres.
    """
    file = Database(url).file
    return None if file is None else _opened(file)


def _opened(database: Path) -> int:
    return os.open(f"{database}.serving", os.O_RDWR | os.O_CREAT, 0o600)


class FileLease:
    def __init__(self, database: Path, descriptor: int | None = None) -> None:
        self._database = database
        self._inherited = descriptor
        self._own: int | None = None

    def take(self, connection: Connection) -> bool:
        if sys.platform == "win32":
            return True
        descriptor = self._inherited if self._own is None else self._own
        if descriptor is None:
            descriptor = self._own = _opened(self._database)
        try:
            # Succeeds where this process, or one that shares the open file, has the lock.
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._close()
            return False
        return True

    def renew(self, connection: Connection) -> bool:
        return True

    def release(self, connection: Connection) -> None:
        if self._inherited is not None and sys.platform != "win32":
            fcntl.flock(self._inherited, fcntl.LOCK_UN)
        self._close()

    def _close(self) -> None:
        own, self._own = self._own, None
        if own is not None:
            os.close(own)


class RowLease:
    def __init__(self, machine_id: str, now: ColumnElement[int]) -> None:
        self._holder = machine_id
        self._now = now

    def take(self, connection: Connection) -> bool:
        now = connection.execute(select(self._now)).scalar_one()
        row = connection.execute(select(serving).with_for_update()).one_or_none()
        if row is None:
            # Another process may insert it first, which can be one of this machine.
            return self._insert(connection, now) or self.take(connection)
        is_free = row.holder == self._holder or row.expires_at <= now
        if not is_free and not _is_gone(connection, row):
            return False
        connection.execute(update(serving).values(self._values(now)))
        return True

    def renew(self, connection: Connection) -> bool:
        """Insert the row again if it was deleted: no other machine has taken the lease then."""
        now = connection.execute(select(self._now)).scalar_one()
        own = update(serving).where(serving.c.holder == self._holder)
        if connection.execute(own.values(self._values(now))).rowcount:
            return True
        if connection.execute(select(serving.c.holder)).first() is not None:
            return False
        return self._insert(connection, now)

    def release(self, connection: Connection) -> None:
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
            "expires_at": now + LEASE_SECONDS * 1000,
        }


def _is_gone(connection: Connection, row: Row[tuple[object, ...]]) -> bool:
    """Whether the holder was a machine of this host whose processes have all ended.

    The row names the process that has renewed it last.
    """
    processes = [(row.machine, row.pid, row.pid_began)]
    others = select(nodes.c.host, nodes.c.pid, nodes.c.pid_began)
    siblings = connection.execute(others.where(nodes.c.machine_id == row.holder))
    processes += [(each.host, each.pid, each.pid_began) for each in siblings]
    return all(identity.is_gone(*process) for process in processes)
