"""Lists of phone calls, newest first, at a cost that does not grow with history.

The filter with the fewest calls is read along its index, which contains the columns of the other
filters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Select, and_, func, select

from service.domain.calls import Call
from service.domain.paging import Page
from service.storage.calls import text_search
from service.storage.calls.filters import CallFilters, Conditions, conditions_by_index
from service.storage.calls.rows import fetch
from service.storage.database import Database
from service.storage.listing import (
    COUNTED,
    EntryCount,
    Newest,
    PageRequest,
    counted,
    counted_all,
    page_of,
)
from service.storage.tables import calls
from service.storage.tables.calls import NEWEST, NEWEST_FIRST


def _fetch(connection: Connection, seqs: Select[Any] | Sequence[int]) -> list[Call]:
    found = select(calls).where(calls.c.seq.in_(seqs)).order_by(*NEWEST_FIRST)
    return fetch(connection, found)


LIST = Newest(calls, NEWEST, _fetch)


def page(database: Database, wanted: CallFilters, number: int, per_page: int) -> Page[Call]:
    with database.listing() as connection:
        if wanted.search:
            return _sought(connection, wanted, number, per_page)
        return _listed(database, connection, wanted, number, per_page)


def _listed(
    database: Database, connection: Connection, wanted: CallFilters, number: int, per_page: int
) -> Page[Call]:
    indexed, rest = conditions_by_index(connection, wanted)
    filters = frozenset(wanted.equal.items()), wanted.passed, wanted.since, wanted.until
    request = PageRequest(("calls", *filters), number, per_page)

    def read(most: int) -> Sequence[Call]:
        return LIST.read(database.lists, connection, (*indexed, *rest), request, most)

    everything = select(calls.c.seq).where(*indexed, *rest).order_by(*NEWEST_FIRST)
    return page_of(
        request,
        _counted(connection, indexed, rest),
        read,
        lambda: counted_all(connection, everything),
    )


def _counted(connection: Connection, indexed: Conditions, rest: Conditions) -> EntryCount:
    """Count the calls that match, among the newest ``COUNTED`` that the index returns."""
    if not rest:
        return counted(connection, select(*NEWEST).where(*indexed).order_by(*NEWEST_FIRST))
    fits = and_(*rest).label("fits")
    newest = select(fits).where(*indexed).order_by(*NEWEST_FIRST).limit(COUNTED + 1).subquery()
    numbers = select(func.count().filter(newest.c.fits), func.count()).select_from(newest)
    found, seen = connection.execute(numbers).one()
    return EntryCount(min(found, COUNTED), seen <= COUNTED)


def _sought(connection: Connection, wanted: CallFilters, number: int, per_page: int) -> Page[Call]:
    first = (number - 1) * per_page
    found = text_search.search_calls(connection, wanted, first + per_page)
    seqs = found.seqs[first : first + per_page]
    items = _fetch(connection, seqs) if seqs else []
    return Page(tuple(items), number, per_page, len(found.seqs), found.is_minimum)
