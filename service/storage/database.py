"""The database: connections, transactions and the migration to the current schema.

An engine is built on first use, so that a process may fork between making a ``Database`` and using
it. Neither the URL nor the values of a statement appear in errors: they contain passwords and keys.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from time import monotonic
from typing import ParamSpec

from sqlalchemy import Connection, Engine, extract, func, select, text
from sqlalchemy.exc import DataError, SQLAlchemyError

from service.clock import Millis
from service.errors import Busy, Contended, Invalid
from service.process import turns
from service.storage import connections, migrations
from service.storage.advisory_locks import take_turns
from service.storage.change_signals import ChangeSignal
from service.storage.connections import LOCK_SECONDS, POOL_SECONDS, POOL_SIZE
from service.storage.database_faults import Fault, fault
from service.storage.fair_slots import FairSlots
from service.storage.listing import AT_ONCE, Lists, bounded
from service.storage.outage import AWAY, CONTENDED, Outage
from service.storage.shared import Shared

if sys.platform != "win32":
    import fcntl

P = ParamSpec("P")

logger = logging.getLogger(__name__)

SHARED_LOCK_MILLIS = 200
"""Timeout of a shared transaction's wait for a row (Postgres). It changes several calls and so can
deadlock, and times out well before Postgres's deadlock detector picks a victim. Single-call
transactions cannot deadlock."""

MIGRATION_LOCK_MILLIS = 10_000
"""Timeout of a revision's wait for a table (Postgres)."""

PROBE_SECONDS = 1.0
"""Shortest interval between two writes that only test whether the database accepts writes."""

MIGRATION = 7_300_001
"""Advisory lock (Postgres) of a migration. The number is arbitrary."""


class Database:
    """A database by URL: ``sqlite:////absolute/path`` or ``postgresql+psycopg://…``."""

    def __init__(
        self,
        url: str,
        timed: Callable[[str], AbstractContextManager[object]] = nullcontext,
        size: int = POOL_SIZE,
    ) -> None:
        """``timed`` returns a context manager for each transaction, which is a ``read`` or a
        ``write``. ``size`` is the maximum number of connections to Postgres.
        """
        self._url = connections.parsed(url)
        self._is_sqlite = self._url.get_backend_name() == "sqlite"
        self._timed = timed
        self._size = size
        self._building = threading.Lock()
        self._built: Engine | None = None
        # SQLite has one writer, and a waiting writer polls with growing pauses. Among the threads
        # of this process a lock is fairer: the longest wait of 16 falls to a sixth.
        self._writing = threading.Lock()
        # As many as the pool has connections, which it does not give out in order.
        self._connecting = FairSlots(size)
        # SQLite can be read while it cannot be written to.
        link = Outage()
        self._links = {True: link, False: Outage() if self._is_sqlite else link}
        self._writes = Outage(Fault.UNWRITABLE)
        self._probed_at = -PROBE_SECONDS
        self.lists = Lists(max(1, size * AT_ONCE // POOL_SIZE))
        self._local = threading.local()
        self.signals = {signal: threading.Event() for signal in ChangeSignal}
        """Set when there may be new rows. A waiting thread clears its signal before it looks."""
        self.pass_on: Callable[[Collection[ChangeSignal]], object] = lambda signals: None
        """Called with the signals of a commit, for threads of other processes."""

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a transaction that only reads, or join the thread's shared one."""
        shared = self._shared
        with shared.part() if shared else self._transaction(writes=False) as connection:
            yield connection

    @contextmanager
    def listing(self) -> Iterator[Connection]:
        """Open a transaction that reads a list. Raises ``Busy`` if that takes too long."""
        with self.lists.slot(), self.read() as connection, bounded(connection):
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open a transaction that writes, or join the thread's shared one. An exception rolls it
        back.

        On SQLite it takes the write lock at the begin. A transaction that reads first and asks for
        the lock later is refused at once ("database is locked") if another one has written in
        between.
        """
        shared = self._shared
        if shared:
            with shared.part() as connection:
                yield connection
            return
        with self._transaction(writes=True) as connection:
            yield connection

    @contextmanager
    def together(self) -> Iterator[None]:
        """Make everything that this thread reads and writes in this block one transaction that
        writes.

        All of it is committed, or nothing: an error that any part has raised is raised again at the
        end, even if it was handled.
        """
        with self.write() as connection:
            if not self._is_sqlite:
                connection.execute(text(f"SET LOCAL lock_timeout = {SHARED_LOCK_MILLIS}"))
            shared = self._local.shared = Shared(connection)
            try:
                yield
            finally:
                self._local.shared = None
            if shared.failure is not None:
                raise shared.failure
        for act in shared.acts:
            try:
                act()
            except Exception:
                logger.exception("an action after a commit failed")

    def afterwards(self, act: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
        """Do after the commit, or at once outside a shared transaction. Not after a rollback."""
        shared = self._shared
        if shared:
            shared.acts.append(partial(act, *args, **kwargs))
        else:
            act(*args, **kwargs)

    def migrate(self) -> None:
        """Create the database's folder and migrate its schema to the newest revision.

        Several processes may call this at once: one migrates, and the others wait for it. A failed
        revision is rolled back.
        """
        with self._migration_lock(), self._migrating() as connection:
            take_turns(connection, MIGRATION)
            if not self._is_sqlite:
                # Others queue behind a revision that waits for a table, so its wait must be short.
                connection.execute(text(f"SET LOCAL lock_timeout = {MIGRATION_LOCK_MILLIS}"))
            migrations.upgrade(connection)

    @property
    def file(self) -> Path | None:
        """Return the path of SQLite's file; ``None`` on Postgres."""
        return Path(self._url.database or "") if self._is_sqlite else None

    def erase(self) -> None:
        """Remove overwritten rows from SQLite's log."""
        connections.checkpoint(self._engine())

    def exists(self) -> bool:
        """Return false if SQLite has no file. SQLite would create one, readable by every user."""
        return not self._is_sqlite or Path(self._url.database or "").exists()

    def check(self) -> None:
        """Raise unless the database answers, has a schema and accepts writes.

        A write is tried at most once in ``PROBE_SECONDS``, and whenever it is likely to fail.
        """
        with self.write() as connection:
            connection.execute(text("SELECT 1 FROM alembic_version"))
            is_due = monotonic() - self._probed_at >= PROBE_SECONDS
            if is_due or self._is_read_only(connection):
                connection.execute(text("UPDATE alembic_version SET version_num = version_num"))
        if is_due:
            self._probed_at = monotonic()

    def now(self) -> Millis | None:
        """Return the time of the database's machine; ``None`` for SQLite, which is on this one."""
        if self._is_sqlite:
            return None
        with self.read() as connection:
            clock = select(extract("epoch", func.clock_timestamp()))
            return int(connection.execute(clock).scalar_one() * 1000)

    def close(self) -> None:
        """Close idle connections. The next use of the database opens new ones."""
        with self._building:
            if self._built is not None:
                self._built.dispose()
                self._built = None

    def _is_read_only(self, connection: Connection) -> bool:
        shown = text("SHOW transaction_read_only")
        return not self._is_sqlite and bool(connection.scalar(shown) == "on")

    @property
    def _shared(self) -> Shared | None:
        shared: Shared | None = getattr(self._local, "shared", None)
        return shared

    def _engine(self) -> Engine:
        with self._building:
            if self._built is None:
                self._built = connections.serving(self._url, self._size)
            return self._built

    @contextmanager
    def _transaction(self, *, writes: bool) -> Iterator[Connection]:
        try:
            with self._begun(writes=writes) as connection:
                signals: set[ChangeSignal] = set()
                connection.info["signals"] = signals
                yield connection
        except (DataError, UnicodeEncodeError):
            # Postgres stores no NUL character in text, and neither database stores half a surrogate
            # pair.
            raise Invalid("A value holds a character that cannot be stored.") from None
        except SQLAlchemyError as error:
            if fault(error) is None:
                raise
            raise Busy(AWAY) from error
        for signal in signals:
            self.signals[signal].set()
        if signals:
            self.pass_on(signals)

    @contextmanager
    def _begun(self, *, writes: bool) -> Iterator[Connection]:
        with self._timed("write" if writes else "read"), ExitStack() as held:
            if writes:
                # The commit of a transaction may still fail.
                held.enter_context(self._writes.watched()).begun = True
            attempt = held.enter_context(self._links[writes].watched())
            if not self._is_sqlite:
                held.enter_context(self._connecting.slot(POOL_SECONDS))
            elif writes:
                held.enter_context(self._turn_to_write())
            with turns.waiting():
                connection, transaction = connections.begun(self._engine(), writes=writes)
            held.enter_context(connection)
            held.enter_context(transaction)
            attempt.begin()
            yield connection

    @contextmanager
    def _migrating(self) -> Iterator[Connection]:
        """Open a transaction with the bounds of migrations."""
        if self._is_sqlite:
            with self.write() as connection:
                yield connection
            return
        engine = connections.migrating(self._url)
        with self._links[True].watched() as attempt, engine.begin() as connection:
            attempt.begin()
            yield connection

    @contextmanager
    def _turn_to_write(self) -> Iterator[None]:
        with turns.waiting():
            is_ours = self._writing.acquire(timeout=LOCK_SECONDS)
        if not is_ours:
            raise Contended(CONTENDED)
        try:
            yield
        finally:
            self._writing.release()

    @contextmanager
    def _migration_lock(self) -> Iterator[None]:
        """Hold a lock file (SQLite): the switch to WAL and long revisions outlast busy timeouts."""
        if not self._is_sqlite:
            yield
            return
        path = Path(self._url.database or "")
        # The file holds webhook keys: other users of the machine must not read it.
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)
        with Path(f"{path}.lock").open("w") as lock:
            # Without fcntl only the write transaction excludes others, for up to LOCK_SECONDS.
            if sys.platform != "win32":
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield
