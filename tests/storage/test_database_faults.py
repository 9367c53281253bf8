"""A database that does not answer, is locked, read-only or full: fast failure and recovery."""

from __future__ import annotations

import logging
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from service.errors import Busy, Contended
from service.storage import connections
from service.storage.bounded import BoundedConnection
from service.storage.connectors import Connectors
from service.storage.database import Database
from tests.support.proxies import Proxy, proxied
from tests.support.records import a_connector


def name_all(database: Database, name: str) -> None:
    with database.write() as connection:
        connection.execute(text("UPDATE connectors SET name = :name"), {"name": name})


def names(database: Database) -> list[str | None]:
    return [connector.name for connector in Connectors(database, "secret").all()]


@contextmanager
def full() -> Iterator[None]:
    """Let no file of this process be written, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def silent(postgres: Callable[[], str]) -> Iterator[tuple[Proxy, str]]:
    """Start a proxy in front of Postgres; return it with a URL through it to an empty schema."""
    url = sa.make_url(postgres())
    with proxied(url.host or "127.0.0.1", url.port or 5432) as proxy:
        through = url.set(host="127.0.0.1", port=proxy.port)
        yield proxy, through.render_as_string(hide_password=False)


def test_a_server_that_never_answers_times_out(
    silent: tuple[Proxy, str],
) -> None:
    proxy, url = silent
    database = Database(url)

    def ask() -> None:
        with database.read() as connection:
            proxy.stall()
            connection.execute(text("SELECT 1"))

    with pytest.raises(Busy) as refused:
        ask()
    assert not isinstance(refused.value, Contended)
    proxy.resume()
    with database.read() as connection:
        assert connection.scalar(text("SELECT 1")) == 1
    database.close()


def test_a_connection_that_timed_out_is_closed(silent: tuple[Proxy, str]) -> None:
    class Hasty(BoundedConnection):
        seconds = 0.2

    proxy, url = silent
    parts = sa.make_url(url)
    hasty = Hasty.connect(
        host=parts.host, port=parts.port, user=parts.username, dbname=parts.database
    )
    proxy.stall()
    with pytest.raises(psycopg.OperationalError, match="does not answer"):
        hasty.execute("SELECT 1")
    assert hasty.closed


def test_a_statements_wait_for_a_lock_times_out(migrated_postgres: Database) -> None:
    with migrated_postgres.write() as connection:
        connection.execute(text("LOCK TABLE connectors IN SHARE MODE"))
        with pytest.raises(Contended):
            name_all(migrated_postgres, "second")
        # The database is not away for others.
        migrated_postgres.check()


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("lock_timeout", connections.SERVING.lock),
        ("statement_timeout", connections.SERVING.statement),
        ("idle_in_transaction_session_timeout", connections.SERVING.idle),
    ],
)
def test_bounds_belong_to_the_transaction_and_not_to_the_session(
    migrated_postgres: Database, setting: str, value: int
) -> None:
    shown = text(f"SELECT setting FROM pg_settings WHERE name = '{setting}'")
    with migrated_postgres.read() as connection:
        assert connection.scalar(shown) == str(value)
        connection.commit()
        raw = connection.connection.cursor()
        assert raw.execute(str(shown)).fetchone() == ("0",)


def test_no_statement_is_prepared_for_a_session(migrated_postgres: Database) -> None:
    with migrated_postgres.read() as connection:
        for _ in range(10):
            connection.execute(text("SELECT 1 WHERE 1 = :one"), {"one": 1})
        prepared = text("SELECT count(*) FROM pg_prepared_statements")
        assert connection.scalar(prepared) == 0


def test_idle_connections_that_the_server_has_closed_are_replaced(
    migrated_postgres: Database,
) -> None:
    database = migrated_postgres
    database.close()
    pid = text("SELECT pg_backend_pid()")
    with database.read() as one, database.read() as other:
        idle = [one.scalar(pid), other.scalar(pid)]
    with psycopg.connect(
        database._url.set(drivername="postgresql", query={}).render_as_string(hide_password=False)
    ) as admin:
        for each in idle:
            admin.execute("SELECT pg_terminate_backend(%s, 5000)", (each,))
    for _ in range(3):
        with database.read() as connection:
            assert connection.scalar(pid) not in idle


@pytest.mark.parametrize("work", [Database.check, lambda database: name_all(database, "other")])
def test_sessions_that_stayed_read_only_after_a_failover_are_replaced(
    migrated_postgres: Database, work: Callable[[Database], None]
) -> None:
    database = migrated_postgres
    database.close()
    read_only = text("SET default_transaction_read_only = on")
    # Sessions that began while the server refused writes stay read-only.
    with database.read() as one, database.read() as other:
        one.execute(read_only)
        other.execute(read_only)
    with pytest.raises(Busy):
        work(database)
    for _ in range(3):
        work(database)


def test_a_full_disk_refuses_writes_until_there_is_space(
    own_sqlite: Database, caplog: pytest.LogCaptureFixture
) -> None:
    database = own_sqlite
    Connectors(database, "secret").add(a_connector(name="first"))
    with full():
        for work in (lambda: name_all(database, "second"), database.check):
            with pytest.raises(Busy):
                work()
        assert names(database) == ["first"]
    with caplog.at_level(logging.INFO):
        database.check()
    assert "the database takes writes again" in caplog.messages
    name_all(database, "third")
    assert names(database) == ["third"]


def test_an_insert_without_a_free_page_is_refused(own_sqlite: Database) -> None:
    database = own_sqlite
    with database.read() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(Busy):
        Connectors(database, "secret").add(a_connector(name="n" * 100_000))
    Connectors(database, "secret").add(a_connector(name="short"))


def test_a_file_that_cannot_be_written_fails_the_check(own_sqlite: Database) -> None:
    with own_sqlite.read() as connection:
        connection.exec_driver_sql("PRAGMA query_only = on")
    with pytest.raises(Busy):
        own_sqlite.check()
    with own_sqlite.read() as connection:
        connection.exec_driver_sql("PRAGMA query_only = off")
    own_sqlite.check()


def test_an_error_of_a_statement_is_not_a_fault_of_the_database(database: Database) -> None:
    with pytest.raises(DBAPIError), database.write() as connection:
        connection.execute(text("SELECT nothing FROM nowhere"))
    database.check()


def test_a_migration_has_bounds_of_its_own(migrated_postgres: Database) -> None:
    with migrated_postgres._migrating() as connection:
        found = connection.scalar(text("SHOW statement_timeout"))
    assert found == f"{connections.MIGRATING.statement // 60_000}min"
