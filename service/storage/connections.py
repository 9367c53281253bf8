"""Engines for each kind of database, and every bound on how long anything waits for one.

On Postgres the bounds are set at the beginning of each transaction, in the round trip that begins
it: behind a pooler in transaction mode a session's settings are those of another client, and
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
from service.storage.faults import READ_ONLY, sqlstate

POOL_SIZE = 10
"""Connections at most. Small hosted Postgres plans allow 20, and a release needs some too."""

POOL_SECONDS = 3
LOCK_SECONDS = 3
"""How long a transaction waits for a connection, and for the lock of SQLite: twice that where it
queues behind one that waits for another process. Providers give up on a webhook after 15 s, in
which it may have waited for a thread as long as that."""

# A server that vanished must not hold a thread for the two hours of the system's own keepalive, nor
# for the quarter of an hour for which the system sends again what nobody acknowledges.
POSTGRES_TIMEOUTS = {
    "connect_timeout": 2,
    "tcp_user_timeout": 3000,
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
}

# Prepared statements belong to a session, which a pooler in transaction mode gives to others.
SESSIONLESS = {"autocommit": True, "prepare_threshold": None}


@dataclass(frozen=True, slots=True)
class Bounds:
    """Milliseconds that Postgres lets a statement wait for a lock and run, and a transaction idle.

    Without the last one a client that vanished would keep its locks for hours.
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
"""Whoever migrates first waits for another who does, for as long as that takes."""


def parsed(text: str) -> URL:
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):  # the second where the port is no number
        raise SettingsError("DATABASE_URL is not a database URL.") from None
    if url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:"):
        raise SettingsError("DATABASE_URL must name a file: SQLite in memory has one per thread.")
    return url


def postgres(url: URL, bounds: Bounds = SERVING, size: int = POOL_SIZE) -> Engine:
    """An engine whose pool has ``size`` connections, within ``bounds``."""
    engine = create_engine(
        url,
        hide_parameters=True,
        pool_size=size,
        max_overflow=0,
        pool_timeout=POOL_SECONDS,
        connect_args=POSTGRES_TIMEOUTS | SESSIONLESS,
    )
    from service.storage.bounded import Bounded

    _bind(engine, bounds, Bounded)
    return engine


def migrating(url: URL) -> Engine:
    """An engine for one transaction that may take long."""
    engine = create_engine(
        url, hide_parameters=True, poolclass=NullPool, connect_args=POSTGRES_TIMEOUTS | SESSIONLESS
    )
    from service.storage.bounded import Patient

    _bind(engine, MIGRATING, Patient)
    return engine


def _bind(engine: Engine, bounds: Bounds, connection_class: Any) -> None:
    text = bounds.begin

    @event.listens_for(engine, "do_connect")
    def connect(_dialect: Any, _record: Any, args: Any, kwargs: Any) -> Any:
        return connection_class.connect(*args, **kwargs)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # By the driver alone: SQLAlchemy's own way takes as long again as a small transaction.
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
        # A session keeps the mode that it began in: after a failover only new ones can write.
        if sqlstate(context.original_exception) == READ_ONLY:
            context.is_disconnect = True


def begun(engine: Engine, *, writes: bool) -> tuple[Connection, RootTransaction]:
    """A connection and its transaction; on SQLite, one that ``writes`` holds the lock from here on.

    A connection that was lost while it was idle is found out by that and replaced, so that none has
    to be asked beforehand.
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


class SteppingAside(SQLiteCursor):
    """A cursor that tells the server of its work: SQLite works and waits without the GIL.

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
        return SteppingAside(self)


def sqlite(url: URL) -> Engine:
    engine = create_engine(
        url,
        hide_parameters=True,
        pool_size=POOL_SIZE,
        max_overflow=0,
        pool_timeout=POOL_SECONDS,
        # The driver would begin transactions by its own rules: never before DDL, and never
        # IMMEDIATE for those that write. https://docs.python.org/3/library/sqlite3.html#transaction-control
        connect_args={"isolation_level": None, "timeout": LOCK_SECONDS}
        | {"factory": SQLiteSession},
    )

    @event.listens_for(engine, "connect")
    def configure(connection: SQLiteConnection, _record: Any) -> None:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")
        # Zeros over what is overwritten, where the page is written anyway: it may be a secret.
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
