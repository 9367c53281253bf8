"""Shared fixtures: a fake clock and a real database of each kind.

Tests that ask for ``database`` run twice, on SQLite and on Postgres. Where no Postgres answers,
its half is skipped, or fails if ``REQUIRE_POSTGRES`` is set. ``TEST_DATABASE_URL`` names another
server; everything happens in a schema that is dropped at the end.
"""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import settings

from service.storage.database import Database
from service.storage.tables import metadata
from tests.support.clocks import FakeClock
from tests.support.fuzzing import fuzz
from tests.support.migrated import migrated_file
from tests.support.patchbays import Patchbay, running_patchbay

pytest_plugins = ("tests.support.app_fixtures",)

LOCAL_POSTGRES = "postgresql+psycopg://postgres@127.0.0.1:5432/test"


settings.register_profile("patchbay", fuzz())
settings.load_profile("patchbay")


REAL_TIME = ("end_to_end", "browser")
LONGEST = (
    "test_several_machines.py",
    "test_console_room.py",
    "test_documented_api.py",
    "test_deploys.py",
    "test_call_control.py",
    "test_console_looks.py",
    "test_database_away.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with the longest files, so that no process is left with one at the end."""
    items.sort(
        key=lambda item: (item.path.name not in LONGEST, item.path.parent.name not in REAL_TIME)
    )


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def root_logger() -> Iterator[logging.Logger]:
    """The root logger, restored after the test."""
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    yield root
    root.setLevel(level)
    root.handlers[:] = handlers


@contextmanager
def _schema(engine: sa.Engine) -> Iterator[str]:
    """URL of a new, empty schema, which is dropped again on leaving."""
    name = "test_" + secrets.token_hex(6)
    with engine.begin() as connection:
        connection.execute(sa.schema.CreateSchema(name))
    # The rows need not survive a crash.
    options = f"-csynchronous_commit=off -csearch_path={name}"
    url = engine.url.update_query_dict({"options": options})
    try:
        yield url.render_as_string(hide_password=False)
    finally:
        with engine.begin() as connection:
            connection.execute(sa.schema.DropSchema(name, cascade=True))


@pytest.fixture(scope="session")
def postgres() -> Iterator[Callable[[], str]]:
    """A function that makes a new, empty schema and returns its URL."""
    url = sa.make_url(os.environ.get("TEST_DATABASE_URL") or LOCAL_POSTGRES)
    engine = sa.create_engine(
        url.set(drivername="postgresql+psycopg"), connect_args={"connect_timeout": 3}
    )
    try:
        engine.connect().close()
    except sa.exc.OperationalError:
        sentence = f"No Postgres answers at {engine.url.host}:{engine.url.port}."
        if os.environ.get("REQUIRE_POSTGRES"):
            pytest.fail(sentence, pytrace=False)
        pytest.skip(sentence)
    with ExitStack() as schemas:
        yield lambda: schemas.enter_context(_schema(engine))
    engine.dispose()


@pytest.fixture(scope="session")
def migrated_postgres(postgres: Callable[[], str]) -> Iterator[Database]:
    database = Database(postgres())
    database.migrate()
    yield database
    database.close()


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """URL of an empty, migrated SQLite database."""
    path = tmp_path / "patchbay.db"
    path.write_bytes(migrated_file())
    return f"sqlite:///{path}"


@pytest.fixture
def own_sqlite(sqlite_url: str) -> Iterator[Database]:
    """The database at ``sqlite_url``, for tests that break it or look at its file."""
    database = Database(sqlite_url)
    yield database
    database.close()


@pytest.fixture(scope="session")
def shared_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    path = tmp_path_factory.mktemp("sqlite") / "shared.db"
    path.write_bytes(migrated_file())
    database = Database(f"sqlite:///{path}")
    yield database
    database.close()


@pytest.fixture
def sqlite_database(shared_sqlite: Database) -> Database:
    """An empty, migrated SQLite database, for tests that need no second kind."""
    return _emptied(shared_sqlite)


DELETES = [f"DELETE FROM {table.name}" for table in reversed(metadata.sorted_tables)]


def _emptied(database: Database) -> Database:
    """Delete all rows: with an engine that has compiled its statements a test takes a third less
    time than with a database of its own.
    """
    # Through the driver alone, and on Postgres in one statement: a statement for each table through
    # SQLAlchemy takes thirty times as long.
    statements = DELETES if database.file else [f"DO $$ BEGIN {'; '.join(DELETES)}; END $$"]
    with database.write() as connection:
        driver: Any = connection.connection.driver_connection
        for statement in statements:
            driver.execute(statement)
    return database


@pytest.fixture
def postgres_database(migrated_postgres: Database) -> Database:
    """An empty, migrated Postgres database."""
    return _emptied(migrated_postgres)


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest) -> Database:
    """An empty, migrated database of each kind."""
    database: Database = request.getfixturevalue(f"{request.param}_database")
    return database


@pytest.fixture(params=["sqlite", "postgres"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of a database of each kind that has no tables yet."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/new/folder/patchbay.db"
    make: Callable[[], str] = request.getfixturevalue("postgres")
    return make()


@pytest.fixture(scope="session")
def patchbay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Patchbay]:
    """One server for all tests that can share it: each uses rooms of its own."""
    with running_patchbay(tmp_path_factory.mktemp("data"), WEBHOOK_ALLOW_PRIVATE="on") as running:
        yield running
