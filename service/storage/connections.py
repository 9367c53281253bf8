"""Engines for SQLite and Postgres, with a bound on every wait for a database.

On Postgres the bounds are set at the beginning of each transaction, in the round trip that begins
it. Behind a pooler in transaction mode a session's settings may belong to another client, and
PgBouncer refuses ``options`` in the startup packet.
"""

from __future__ import annotations

from dataclasses import dataclass
from sqlite3 import Connection as SQLiteConnection
from sqlite3 import Cursor as SQLiteCursor
from typing import Any, Self

from sqlalchemy import (
    URL,
    Connection,
    Engine,
    NullPool,
    RootTransaction,
    create_engine,
    event,
    make_url,
)
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import ArgumentError, DBAPIError

from service.errors import SettingsError
from service.process import turns
from service.storage.database_faults import READ_ONLY, sqlstate

POOL_SIZE = 10
"""Default maximum number of connections of a process. Small hosted Postgres plans allow 20, and a
release needs some too."""

POOL_SECONDS = 3
LOCK_SECONDS = 3
"""Timeout of a wait for a connection, and for the lock of SQLite. The wait is twice as long for a
transaction that queues behind one which waits for another process. Providers give up on a webhook
after 15 s, which may already have waited that long for a thread."""

# A server that vanished must not hold a thread for the two hours of the system's keepalive, nor for
# the quarter of an hour in which the system retransmits unacknowledged data.
POSTGRES_TIMEOUTS = {
    "connect_timeout": 2,
    "tcp_user_timeout": 3000,
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
}

# Prepared statements belong to a session, which a pooler in transaction mode gives to other
# clients.
SESSIONLESS = {"autocommit": True, "prepare_threshold": None}


@dataclass(frozen=True, slots=True)
class Bounds:
    """Milliseconds that Postgres lets a statement wait for a lock and run, and a transaction idle.

    The last one is for a client that vanished: it would keep its locks for hours.
    """

    lock: int
    statement: int
    idle: int

    @property
    def begin(self) -> str:
        return (
            f"BEGIN; SET LOCAL lock_timeout = {self.lock}; "
            f"SET LOCAL statement_timeout = {self.statement}; "
            f"SET LOCAL idle_in_transaction_session_timeout = {self.idle}"
        )


SERVING = Bounds(lock=2_000, statement=3_000, idle=5_000)
MIGRATING = Bounds(lock=0, statement=600_000, idle=60_000)
"""Bounds of migrations. The wait for another process's migration has no limit.
"""


def parsed(text: str) -> URL:
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):  # ValueError: the port is no number
        raise SettingsError("DATABASE_URL is not a database URL.") from None
    if url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:"):
        raise SettingsError("DATABASE_URL must name a file: SQLite in memory has one per thread.")
    return url


def serving(url: URL, size: int) -> Engine:
    """Make the engine of a process. ``size`` is its maximum number of connections to Postgres."""
    return sqlite(url) if url.get_backend_name() == "sqlite" else postgres(url, size=size)


def postgres(url: URL, bounds: Bounds = SERVING, size: int = POOL_SIZE) -> Engine:
    """Make an engine whose pool has ``size`` connections, within ``bounds``."""
    engine = create_engine(
        url,
        hide_parameters=True,
        pool_size=size,
        max_overflow=0,
        pool_timeout=POOL_SECONDS,
        connect_args=POSTGRES_TIMEOUTS | SESSIONLESS,
    )
    from service.storage.bounded import BoundedConnection

    _bind(engine, bounds, BoundedConnection)
    return engine


def migrating(url: URL) -> Engine:
    """Make an engine for one transaction that may take long."""
    engine = create_engine(
        url, hide_parameters=True, poolclass=NullPool, connect_args=POSTGRES_TIMEOUTS | SESSIONLESS
    )
    from service.storage.bounded import MigrationConnection

    _bind(engine, MIGRATING, MigrationConnection)
    return engine


def _bind(engine: Engine, bounds: Bounds, connection_class: Any) -> None:
    text = bounds.begin

    @event.listens_for(engine, "do_connect")
    def connect(_dialect: Any, _record: Any, args: Any, kwargs: Any) -> Any:
        return connection_class.connect(*args, **kwargs)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # Through the driver alone: SQLAlchemy's own way takes as long again as a small transaction.
        driver: Any = connection.connection.driver_connection
        try:
            driver.execute(text)
        except connection_class.Error as error:
            connection.invalidate()
            engine.dispose()
            raise DBAPIError.instance(
                text,
                None,
                error,
                connection_class.Error,
                hide_parameters=True,
                connection_invalidated=True,
                dialect=connection.dialect,
            ) from error

    @event.listens_for(engine, "handle_error")
    def discard(context: ExceptionContext) -> None:
        # A session keeps the mode that it began in: after a failover only new sessions can write.
        if sqlstate(context.original_exception) == READ_ONLY:
            context.is_disconnect = True


def begun(engine: Engine, *, writes: bool) -> tuple[Connection, RootTransaction]:
    """A connection and its transaction. On SQLite, a transaction that ``writes`` takes the lock at
    its begin.

    A connection that was lost while idle is noticed at the begin and replaced, so that no
    connection has to be tested beforehand.
    """
    try:
        return _begun(engine, writes=writes)
    except DBAPIError as error:
        if not error.connection_invalidated:
            raise
    return _begun(engine, writes=writes)


def _begun(engine: Engine, *, writes: bool) -> tuple[Connection, RootTransaction]:
    connection = engine.connect()
    try:
        connection.execution_options(sqlite_begin="BEGIN IMMEDIATE" if writes else "BEGIN")
        return connection, connection.begin()
    except BaseException:
        connection.close()
        raise


class YieldingCursor(SQLiteCursor):
    """A cursor that reports its work to the server: SQLite works and waits without the GIL.

    SQLAlchemy's events around a statement cost more than most statements.
    """

    def execute(self, *arguments: Any) -> Self:
        turns.begin()
        try:
            return super().execute(*arguments)
        finally:
            turns.end()

    def executemany(self, *arguments: Any) -> Self:
        turns.begin()
        try:
            return super().executemany(*arguments)
        finally:
            turns.end()


class SQLiteSession(SQLiteConnection):
    def cursor(self, *_: Any) -> Any:
        return YieldingCursor(self)


def sqlite(url: URL) -> Engine:
    engine = create_engine(
        url,
        hide_parameters=True,
        pool_size=POOL_SIZE,
        max_overflow=0,
        pool_timeout=POOL_SECONDS,
        # The driver would begin transactions by its own rules: never before DDL, and never
        # IMMEDIATE before a write.
        # https://docs.python.org/3/library/sqlite3.html#transaction-control
        connect_args={"isolation_level": None, "timeout": LOCK_SECONDS}
        | {"factory": SQLiteSession},
    )

    @event.listens_for(engine, "connect")
    def configure(connection: SQLiteConnection, _record: Any) -> None:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")
        # Overwritten content is zeroed, as part of a write of its page: it may be a secret.
        connection.execute("PRAGMA secure_delete = FAST")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options()["sqlite_begin"])

    return engine


def checkpoint(engine: Engine) -> None:
    """Have SQLite write its log into the file, and begin another. Postgres does so by itself."""
    if engine.dialect.name != "sqlite":
        return
    connection = engine.raw_connection()
    try:
        connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        connection.close()
