"""The database: connections, transactions and the way to the current schema.

An engine is built on first use, so that a process may fork between making a ``Database`` and using
it. Neither the URL nor the values of a statement appear in errors: they hold passwords and keys.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import ParamSpec

from sqlalchemy import (
    URL,
    Connection,
    Engine,
    extract,
    func,
    make_url,
    select,
    text,
)
from sqlalchemy.exc import ArgumentError, DataError

from service.errors import Busy, Invalid, SettingsError
from service.storage import engines, migrations
from service.storage.engines import LOCK_SECONDS
from service.storage.outage import Outage
from service.times import Millis

if sys.platform != "win32":
    import fcntl

P = ParamSpec("P")

logger = logging.getLogger(__name__)

SHARED_LOCK_MILLIS = 200
"""How long a transaction that is shared waits for a row (Postgres). Whoever changes one call waits
in no circle; whoever changes several may, and gives way long before Postgres would choose one."""

MIGRATION = 7_300_001
"""Advisory lock (Postgres) of whoever migrates. Any number does that nobody else takes."""


class Bell(StrEnum):
    """What somebody waits for that others write down."""

    OUTBOX = "outbox"
    DISPATCHES = "dispatches"
    CALLS = "calls"


def ring(connection: Connection, bell: Bell) -> None:
    """Have the bell rung when the transaction has been committed, and not where it is not."""
    connection.info["bells"].add(bell)


@dataclass(slots=True)
class Shared:
    """The transaction of a thread that does several things in one, and what is to follow it."""

    connection: Connection
    acts: list[Callable[[], object]] = field(default_factory=list)
    failure: BaseException | None = None

    @contextmanager
    def part(self) -> Iterator[Connection]:
        try:
            yield self.connection
        except BaseException as error:
            self.failure = self.failure or error
            raise


class Database:
    """One database by URL: ``sqlite:////absolute/path`` or ``postgresql+psycopg://…``."""

    def __init__(
        self, url: str, timed: Callable[[str], AbstractContextManager[object]] = nullcontext
    ) -> None:
        """``timed`` gives what is to be around each transaction that is a ``read`` or ``write``."""
        self._url = _parsed(url)
        self._is_sqlite = self._url.get_backend_name() == "sqlite"
        self._timed = timed
        self._building = threading.Lock()
        self._built: Engine | None = None
        # SQLite has one writer, and those who find it busy poll with growing pauses. Among the
        # threads of this process a lock is fairer: the worst wait of 16 falls to a sixth.
        self._writing = threading.Lock()
        self._outage = Outage()
        self._local = threading.local()
        self.bells = {bell: threading.Event() for bell in Bell}
        """Set when there may be something new: whoever waits clears it before looking."""

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that only reads, or a part of what is done ``together``."""
        shared = self._shared
        with shared.part() if shared else self._transaction(writes=False) as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that writes, or a part of what is done ``together``; an exception rolls it
        back.

        On SQLite it holds the write lock from the start. A transaction that reads first and asks
        for the lock later is refused at once ("database is locked") where another wrote meanwhile.
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
        """Let all that this thread reads and writes meanwhile be one transaction that writes.

        All of it is committed or nothing: an error that any part of it has raised is raised again
        in the end, whoever has dealt with it.
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
                logger.exception("what was to follow a transaction has failed")

    def afterwards(self, act: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
        """Do what follows from something written: now, or once all that is done together is
        committed, and not where it is not.
        """
        shared = self._shared
        if shared:
            shared.acts.append(partial(act, *args, **kwargs))
        else:
            act(*args, **kwargs)

    def take_turns(self, connection: Connection, key: int) -> None:
        """Let one transaction at a time past here, until it ends. SQLite has one writer anyway."""
        if not self._is_sqlite:
            connection.execute(select(func.pg_advisory_xact_lock(key)))

    def migrate(self) -> None:
        """Create the database's folder and bring its schema to the newest revision.

        Several processes may try at once: one does it, the others wait and find it done. A failed
        revision leaves nothing behind.
        """
        with self._migration_lock(), self.write() as connection:
            self.take_turns(connection, MIGRATION)
            migrations.upgrade(connection)

    def exists(self) -> bool:
        """False where there is no file to read: SQLite would make one, which anybody could read."""
        return not self._is_sqlite or Path(self._url.database or "").exists()

    def check(self) -> None:
        """Raise unless the database answers, has a schema and can be written to."""
        with self.write() as connection:
            connection.execute(text("SELECT 1 FROM alembic_version"))

    def now(self) -> Millis | None:
        """What time it is on the database's machine; ``None`` for SQLite, which is on this one."""
        if self._is_sqlite:
            return None
        with self.read() as connection:
            clock = select(extract("epoch", func.clock_timestamp()))
            return int(connection.execute(clock).scalar_one() * 1000)

    def close(self) -> None:
        """Close what is idle. Using the database again opens it again."""
        with self._building:
            if self._built is not None:
                self._built.dispose()
                self._built = None

    @property
    def _shared(self) -> Shared | None:
        shared: Shared | None = getattr(self._local, "shared", None)
        return shared

    def _engine(self) -> Engine:
        with self._building:
            if self._built is None:
                self._built = (
                    engines.sqlite(self._url) if self._is_sqlite else engines.postgres(self._url)
                )
            return self._built

    @contextmanager
    def _transaction(self, *, writes: bool) -> Iterator[Connection]:
        try:
            with self._begun(writes=writes) as connection:
                bells: set[Bell] = set()
                connection.info["bells"] = bells
                yield connection
        except (DataError, UnicodeEncodeError):
            # Postgres stores no NUL character in text, and nobody stores half a surrogate pair.
            raise Invalid("A value holds a character that cannot be stored.") from None
        for bell in bells:
            self.bells[bell].set()

    @contextmanager
    def _begun(self, *, writes: bool) -> Iterator[Connection]:
        with self._timed("write" if writes else "read"), ExitStack() as held:
            # Whatever keeps others from writing to SQLite, they can read.
            with self._outage.watched() if writes or not self._is_sqlite else nullcontext():
                if writes and self._is_sqlite:
                    held.enter_context(self._turn_to_write())
                connection = held.enter_context(self._engine().connect())
                connection.execution_options(sqlite_begin="BEGIN IMMEDIATE" if writes else "BEGIN")
                held.enter_context(connection.begin())
            yield connection

    @contextmanager
    def _turn_to_write(self) -> Iterator[None]:
        if not self._writing.acquire(timeout=LOCK_SECONDS):
            raise Busy("Too many wait for the database; try again in a moment.")
        try:
            yield
        finally:
            self._writing.release()

    @contextmanager
    def _migration_lock(self) -> Iterator[None]:
        """On SQLite, a lock file: switching to WAL and long revisions outlast the busy time-out."""
        if not self._is_sqlite:
            yield
            return
        path = Path(self._url.database or "")
        # Webhook keys are in there: nobody else on the machine is to read them.
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)
        with Path(f"{path}.lock").open("w") as lock:
            # Without fcntl there is the write transaction alone, which queues for LOCK_SECONDS.
            if sys.platform != "win32":
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _parsed(text: str) -> URL:
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):  # the second where the port is no number
        raise SettingsError("DATABASE_URL is not a database URL.") from None
    if url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:"):
        raise SettingsError("DATABASE_URL must name a file: SQLite in memory has one per thread.")
    return url
