"""The lease of a database: the nodes of one machine serve from it, or machines that share it.

Machines with a NODE_URL have the lease together, so one without cannot serve beside them. On
Postgres the lease is a row that is renewed, and expires by the database's clock. A session's
advisory lock would not hold behind a pooler, nor over a lost connection. The lease of processes
that have ended is free at once for processes of the same host, and after ``LEASE_SECONDS`` for
others. On SQLite the lease is a lock on a file beside the database, which
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

MACHINES = "machines"
"""Holder of the lease that machines with a NODE_URL have together."""

FRESH_MILLIS = (LEASE_SECONDS - 2) * 1000
"""Remaining time of a lease that needs no renewal. Of the many nodes of several machines, one
renews it every two seconds."""


class MachineLease(Protocol):
    def take(self, connection: Connection) -> bool:
        """Take or renew the lease. Returns false if another machine has it."""

    def renew(self, connection: Connection) -> bool:
        """Renew the lease. Returns false if another machine has taken it."""

    def lock(self, connection: Connection) -> bool:
        """Keep others from taking the lease until the transaction ends. Returns false if another
        machine has taken it.
        """

    def release(self, connection: Connection) -> None:
        """Give the lease to the next machine."""


def lease_of(
    database: Database,
    machine_id: str,
    descriptor: int | None = None,
    *,
    is_shared: bool = False,
) -> MachineLease:
    """Return the lease for a node of a machine. ``descriptor`` is what ``open_file`` returned to
    the process that has started the nodes of the machine. ``is_shared`` tells whether other
    machines may have the lease too.
    """
    if database.file is None:
        return RowLease(MACHINES if is_shared else machine_id, time_of(database))
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

    def lock(self, connection: Connection) -> bool:
        # A transaction that writes is the only one.
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
    def __init__(self, holder: str, now: ColumnElement[int]) -> None:
        """``holder`` is a machine, or ``MACHINES``."""
        self._holder = holder
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
        """Insert the row again if it was deleted: no other machine has taken the lease then.

        Waits for no other node, because one that stalls would hold up the heartbeats of all.
        """
        now = connection.execute(select(self._now)).scalar_one()
        row = connection.execute(select(serving)).one_or_none()
        if row is None:
            return self._insert(connection, now)
        if row.holder != self._holder:
            return False
        if row.expires_at <= now + FRESH_MILLIS:
            own = select(serving.c.what).where(serving.c.holder == self._holder)
            free = own.with_for_update(skip_locked=True)
            due = update(serving).where(serving.c.what.in_(free))
            connection.execute(due.values(self._values(now)))
        return True

    def lock(self, connection: Connection) -> bool:
        own = select(serving).where(serving.c.holder == self._holder).with_for_update()
        return connection.execute(own).first() is not None

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
    """Whether all processes of the holder have ended, which is seen on their own host only.

    The row names the process that has renewed it last.
    """
    processes = [(row.machine, row.pid, row.pid_began)]
    others = select(nodes.c.host, nodes.c.pid, nodes.c.pid_began)
    is_shared = row.holder == MACHINES
    own = nodes.c.url.is_not(None) if is_shared else nodes.c.machine_id == row.holder
    siblings = connection.execute(others.where(own))
    processes += [(each.host, each.pid, each.pid_began) for each in siblings]
    return all(identity.is_gone(*process) for process in processes)
