"""A database in which every statement on one table fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from service.storage.database import Database


@contextmanager
def missing_table(database: Database, table: str) -> Iterator[None]:
    _rename(database, table, "elsewhere")
    try:
        yield
    finally:
        _rename(database, "elsewhere", table)


def _rename(database: Database, table: str, name: str) -> None:
    with database.write() as connection:
        connection.exec_driver_sql(f"ALTER TABLE {table} RENAME TO {name}")
