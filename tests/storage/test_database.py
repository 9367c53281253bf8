"""Transactions, schema and confidentiality of the database, on both kinds."""

from __future__ import annotations

import fcntl
import re
import sqlite3
import subprocess
import sys
from pathlib import Path
from traceback import format_exception

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, func, insert, inspect, make_url, select, text, update
from sqlalchemy.exc import DBAPIError

from service.errors import Busy, Invalid, ServiceError, SettingsError
from service.storage import migrations
from service.storage.advisory_locks import take_turns
from service.storage.change_signals import ChangeSignal, notify_after_commit
from service.storage.connectors import Connectors
from service.storage.database import Database
from service.storage.tables import connectors, metadata
from tests.support.paths import ROOT
from tests.support.races import at_once
from tests.support.records import a_connector

LOCKS = Path("/proc/locks")


def add(connection: Connection, connector_id: str) -> None:
    connection.execute(
        insert(connectors).values(
            id=connector_id,
            provider="twilio",
            webhook_key="whk_" + connector_id,
            webhook_key_digest=connector_id,
            created_at=1,
        )
    )


def count(connection: Connection) -> int:
    return connection.execute(select(func.count()).select_from(connectors)).scalar_one()


def python(script: str, url: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, url],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_making_a_database_opens_nothing(tmp_path: Path) -> None:
    Database(f"sqlite:///{tmp_path}/folder/patchbay.db")
    assert list(tmp_path.iterdir()) == []


def test_a_database_made_before_a_fork_is_used_after_it(sqlite_url: str) -> None:
    script = """
import os, sys
from service.storage.connectors import Connectors
from service.storage.change_signals import ChangeSignal, notify_after_commit
from service.storage.database import Database
database = Database(sys.argv[1])
child = os.fork()
found = Connectors(database, "secret").all()
if child == 0:
    os._exit(len(found))
print(found, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert python(script, sqlite_url).communicate(timeout=60) == ("() 0\n", "")


def test_migrate_makes_the_schema_that_tables_describes(empty_url: str) -> None:
    database = Database(empty_url)
    database.migrate()
    with database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    database.close()


def test_a_second_migration_keeps_the_rows(database: Database) -> None:
    with database.write() as connection:
        add(connection, "cn_1")
    database.migrate()
    with database.read() as connection:
        assert count(connection) == 1


def test_migrate_does_not_import_alembic_without_need(sqlite_url: str) -> None:
    script = """
import sys
from service.storage.change_signals import ChangeSignal, notify_after_commit
from service.storage.database import Database
Database(sys.argv[1]).migrate()
print("alembic" in sys.modules)
"""
    assert python(script, sqlite_url).communicate(timeout=60) == ("False\n", "")


def test_processes_that_migrate_at_once_all_succeed(empty_url: str) -> None:
    script = """
import sys
from service.storage.change_signals import ChangeSignal, notify_after_commit
from service.storage.database import Database
database = Database(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
database.migrate()
database.check()
"""
    processes = [python(script, empty_url) for _ in range(2)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    results = [(process.communicate(timeout=60)[1], process.returncode) for process in processes]
    assert results == [("", 0)] * 2


@pytest.mark.skipif(not LOCKS.exists(), reason="only Linux tells who waits for a lock file")
def test_migrate_waits_for_the_lock_file(tmp_path: Path) -> None:
    path = tmp_path / "patchbay.db"
    script = """
import sys
from service.storage.change_signals import ChangeSignal, notify_after_commit
from service.storage.database import Database
Database(sys.argv[1]).migrate()
"""
    with Path(f"{path}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = python(script, f"sqlite:///{path}")
        while not re.search(rf"-> FLOCK .* {process.pid} ", LOCKS.read_text()):
            assert process.poll() is None
        assert path.stat().st_size == 0
    assert process.communicate(timeout=60) == ("", "")
    Database(f"sqlite:///{path}").check()


def test_a_failed_revision_is_rolled_back(empty_url: str) -> None:
    url = make_url(empty_url)
    if url.get_backend_name() == "sqlite":
        Path(str(url.database)).parent.mkdir(parents=True)
    database = Database(empty_url)

    def fail_after_upgrade() -> None:
        with database.write() as connection:
            migrations.upgrade(connection)
            assert inspect(connection).has_table("calls")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_after_upgrade()
    with database.read() as connection:
        assert inspect(connection).get_table_names() == []
    database.close()


def test_the_newest_revision_is_alembics_head() -> None:
    assert ScriptDirectory(str(migrations.FOLDER)).get_heads() == [migrations.head()]


def test_migrate_refuses_a_database_that_is_ahead_of_the_code(empty_url: str) -> None:
    database = Database(empty_url)
    database.migrate()
    with database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(ServiceError, match="revision 9999, newer than this version"):
        database.migrate()
    database.close()


def test_check_passes_only_once_there_is_a_schema(empty_url: str) -> None:
    database = Database(empty_url)
    with pytest.raises((DBAPIError, Busy)):
        database.check()
    database.migrate()
    database.check()
    database.close()


def test_a_write_that_raises_is_rolled_back(database: Database) -> None:
    def fail_after_adding() -> None:
        with database.write() as connection:
            add(connection, "cn_1")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_after_adding()
    with database.read() as connection:
        assert count(connection) == 0


def test_readers_see_the_last_commit_during_a_write(database: Database) -> None:
    with database.write() as writer:
        add(writer, "cn_1")
        with database.read() as reader:
            assert count(reader) == 0
    with database.read() as reader:
        assert count(reader) == 1


def test_transactions_that_take_turns_see_each_others_writes(database: Database) -> None:
    def append(_: int) -> None:
        with database.write() as connection:
            take_turns(connection, 1)
            add(connection, f"cn_{count(connection)}")

    assert at_once(16, append) == [None] * 16
    with database.read() as connection:
        assert count(connection) == 16


def test_writers_of_several_processes_queue_on_sqlite(
    own_sqlite: Database, sqlite_url: str
) -> None:
    """A ``Database`` each shares no lock with the others, as if in processes of their own."""
    with own_sqlite.write() as connection:
        add(connection, "cn_1")

    def increment(_: int) -> None:
        own = Database(sqlite_url)
        for _ in range(10):
            with own.write() as connection:
                number = connection.execute(select(connectors.c.created_at)).scalar_one()
                connection.execute(update(connectors).values(created_at=number + 1))
        own.close()

    assert at_once(8, increment) == [None] * 8
    with own_sqlite.read() as connection:
        assert connection.execute(select(connectors.c.created_at)).scalar_one() == 81


def test_a_write_transaction_locks_sqlite_at_its_begin(
    own_sqlite: Database, sqlite_url: str
) -> None:
    impatient = sqlite3.connect(str(make_url(sqlite_url).database), timeout=0)
    with own_sqlite.read():
        impatient.execute("BEGIN IMMEDIATE").connection.rollback()
    with (
        own_sqlite.write(),
        pytest.raises(sqlite3.OperationalError, match="database is locked"),
    ):
        impatient.execute("BEGIN IMMEDIATE")
    impatient.close()


def test_a_closed_database_opens_again(database: Database) -> None:
    database.close()
    database.check()


@pytest.mark.parametrize(
    ("pragma", "value"),
    [("journal_mode", "wal"), ("synchronous", 1), ("foreign_keys", 1), ("busy_timeout", 3000)],
)
def test_every_sqlite_connection_is_configured(
    sqlite_database: Database, pragma: str, value: object
) -> None:
    with sqlite_database.read() as one, sqlite_database.read() as other:
        assert one.exec_driver_sql(f"PRAGMA {pragma}").scalar() == value
        assert other.exec_driver_sql(f"PRAGMA {pragma}").scalar() == value


@pytest.mark.parametrize(
    "url",
    [
        *("", "hunter2", "sqlite://", "sqlite:///", "sqlite:///:memory:"),
        "postgresql+psycopg://me:hunter2@host:port/patchbay",
    ],
)
def test_an_invalid_url_is_refused_without_quoting_it(url: str) -> None:
    with pytest.raises(SettingsError, match="DATABASE_URL") as refused:
        Database(url)
    assert "hunter2" not in str(refused.value)


def test_no_error_contains_the_password_during_an_outage() -> None:
    database = Database("postgresql+psycopg://me:hunter2@127.0.0.1:1/patchbay")
    with pytest.raises(Busy) as refused:
        database.check()
    said = "".join(format_exception(refused.value))
    assert "Connection refused" in said
    assert "hunter2" not in said + repr(database)


def test_no_error_contains_the_values_of_a_statement(database: Database) -> None:
    store = Connectors(database, "secret")
    connector = a_connector()
    store.add(connector)
    with pytest.raises(DBAPIError) as refused:
        store.add(connector)
    assert connector.webhook_key not in str(refused.value)


@pytest.mark.parametrize("name", ["\ud800", "a\x00b"], ids=["half a pair", "NUL"])
def test_text_that_the_database_cannot_hold_is_invalid(
    migrated_postgres: Database, name: str
) -> None:
    with pytest.raises(Invalid, match="cannot be stored"):
        Connectors(migrated_postgres, "secret").add(a_connector(name=name))


def test_half_a_surrogate_pair_is_invalid_on_sqlite_too(sqlite_database: Database) -> None:
    with pytest.raises(Invalid, match="cannot be stored"):
        Connectors(sqlite_database, "secret").add(a_connector(name="\ud800"))


def test_a_change_signal_is_set_after_the_commit(database: Database) -> None:
    signal, other = database.signals[ChangeSignal.OUTBOX], database.signals[ChangeSignal.DISPATCHES]
    signal.clear()
    other.clear()
    with database.write() as connection:
        notify_after_commit(connection, ChangeSignal.OUTBOX)
        assert not signal.is_set()
    assert signal.is_set()
    assert not other.is_set()


def test_a_rollback_sets_no_change_signal(database: Database) -> None:
    def begin_and_fail() -> None:
        with database.write() as connection:
            notify_after_commit(connection, ChangeSignal.OUTBOX)
            raise LookupError

    database.signals[ChangeSignal.OUTBOX].clear()
    with pytest.raises(LookupError):
        begin_and_fail()
    with database.write():
        pass
    assert not database.signals[ChangeSignal.OUTBOX].is_set()
