"""What every table is made of: the metadata, and types that both databases know."""

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
    """Whether the column is one of these words, spelt out: SQLite takes an index that is for some
    rows only where a query says which in the index's own words.
    """
    return column.in_([literal_column(f"'{word}'") for word in words])


def partial(name: str, *columns: ColumnElement[Any], where: ColumnElement[bool]) -> Index:
    """An index of some rows, of which queries say ``where`` as well."""
    return Index(name, *columns, sqlite_where=where, postgresql_where=where)


def unled(column: ColumnElement[Any], otherwise: object) -> ColumnElement[Any]:
    """Hide a column from the planner, so that it does not pick this column's index over the one
    that is to lead.
    """
    return func.coalesce(column, otherwise)
