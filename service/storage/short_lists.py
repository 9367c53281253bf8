"""Pages of short tables: all entries are counted, and earlier ones are skipped one by one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Connection, RowMapping, Select

from service.domain.paging import Page
from service.storage.listing import counted_all

T = TypeVar("T")


def page_of_all(
    connection: Connection,
    entries: Select[Any],
    value: Callable[[RowMapping], T],
    number: int,
    per_page: int,
) -> Page[T]:
    """Return a page of the entries in their order. A page past the last is empty."""
    total, first = counted_all(connection, entries), (number - 1) * per_page
    items: tuple[T, ...] = ()
    # A page number from outside may be larger than the integers of a database.
    if first < total:
        rows = connection.execute(entries.offset(first).limit(per_page)).mappings()
        items = tuple(map(value, rows))
    return Page(items, number, per_page, total)
