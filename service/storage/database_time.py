"""The time by the database's clock, which all nodes share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from sqlalchemy import BigInteger
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

Compile: TypeAlias = Callable[..., str]

# The decorator of SQLAlchemy has no types.
compiled: Callable[[type, str], Callable[[Compile], Compile]] = compiles


class DatabaseNow(FunctionElement[int]):
    """Milliseconds since the epoch. SQLite has the clock of its machine, on which all nodes are."""

    type = BigInteger()
    inherit_cache = True


@compiled(DatabaseNow, "postgresql")
def _postgres(*_: Any, **__: Any) -> str:
    return "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)"


@compiled(DatabaseNow, "sqlite")
def _sqlite(*_: Any, **__: Any) -> str:
    return "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"


DATABASE_NOW = DatabaseNow()
