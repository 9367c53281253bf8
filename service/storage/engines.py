"""How connections are made to each kind of database, and how long anybody waits for one."""

from __future__ import annotations

from sqlite3 import Connection as SQLiteConnection
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event

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
    "connect_timeout": 3,
    "tcp_user_timeout": 3000,
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
}


def postgres(url: URL) -> Engine:
    return create_engine(
        url,
        hide_parameters=True,
        pool_size=POOL_SIZE,
        max_overflow=0,
        pool_timeout=POOL_SECONDS,
        pool_pre_ping=True,
        connect_args=POSTGRES_TIMEOUTS,
    )


def sqlite(url: URL) -> Engine:
    engine = create_engine(
        url,
        hide_parameters=True,
        pool_size=POOL_SIZE,
        max_overflow=0,
        pool_timeout=POOL_SECONDS,
        # The driver would begin transactions by its own rules: never before DDL, and never
        # IMMEDIATE for those that write. https://docs.python.org/3/library/sqlite3.html#transaction-control
        connect_args={"isolation_level": None, "timeout": LOCK_SECONDS},
    )

    @event.listens_for(engine, "connect")
    def configure(connection: SQLiteConnection, _record: Any) -> None:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options()["sqlite_begin"])

    return engine
