"""Metadata and column types for SQLite and Postgres."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    ColumnElement,
    Index,
    Integer,
    MetaData,
    func,
    literal_column,
)

# Constraints without a name cannot be altered by a later migration.
metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

# SQLite numbers rows by itself only where the key's type is INTEGER exactly.
RowNumber = BigInteger().with_variant(Integer, "sqlite")

# None is SQL's NULL, not JSON's null.
Document = JSON(none_as_null=True)


def among(column: ColumnElement[str], words: Iterable[str]) -> ColumnElement[bool]:
    """Whether the column is one of these words, as literals. SQLite uses a partial index only if
    the query repeats the index's condition literally.
    """
    return column.in_([literal_column(f"'{word}'") for word in words])


def partial(name: str, *columns: ColumnElement[Any], where: ColumnElement[bool]) -> Index:
    """A partial index. Queries must repeat ``where``."""
    return Index(name, *columns, sqlite_where=where, postgresql_where=where)


def unindexed(column: ColumnElement[Any], otherwise: object) -> ColumnElement[Any]:
    """Hide a column from the planner, so that it prefers another index to this column's."""
    return func.coalesce(column, otherwise)
