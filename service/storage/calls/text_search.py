"""Search for calls by parts of numbers and of room ids.

Among the newest calls a text is found anywhere. Among older ones it is found by an index: at the
beginning or the end of a number, or as a whole room id.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Select, case, func, or_, select, true

from service.clock import Millis
from service.domain.calls import Direction
from service.storage.calls.filters import CallFilters, Conditions, conditions_by_index
from service.storage.listing import COUNTED, counted_all
from service.storage.tables import PHONE, calls
from service.storage.tables.base import unindexed
from service.storage.tables.calls import (
    CALLEE_END,
    CALLER_END,
    LAST_DIGITS,
    NEWEST,
    NEWEST_FIRST,
)

LOOKED_THROUGH = 5_000
"""The newest calls, which are searched in full."""

FOUND = 1_000
"""Upper bound of the count of found calls."""

ALIKE = 10_000
"""Older calls that one index may lead to. If there are more, they are not searched."""

ALIKE_IN_INDEX = 200_000
"""The same bound if the index alone answers."""

PUNCTUATION = re.compile(r"[\s().-]")
"""Characters that people write between the digits of a phone number."""

NUMBER = re.compile(r"\+?[0-9]+")


Entry = tuple[Millis, int]
"""The columns by which calls are ordered."""


@dataclass(frozen=True, slots=True)
class SearchResult:
    """Found calls by ``seq``, newest first. There may be more if ``is_minimum``."""

    seqs: Sequence[int]
    is_minimum: bool


@dataclass(frozen=True, slots=True)
class IndexSearch:
    """An index of calls with numbers like a text, and the condition to check of each call."""

    index: ColumnElement[bool]
    checks: Conditions = ()


def search_calls(connection: Connection, wanted: CallFilters, last: int) -> SearchResult:
    """Return the calls that a search finds, complete up to the ``last`` one requested or to
    ``FOUND``.

    The first query is about the newest calls, which is enough for most searches.
    """
    most = min(max(FOUND, last), COUNTED) + 1
    text = wanted.search or ""
    entries, is_all = _among_newest(connection, wanted, text, most)
    is_minimum = len(entries) == most
    if not is_all and not is_minimum:
        for older in _older(connection, wanted, text, most):
            is_minimum = is_minimum or older is None or len(older) == most
            entries |= older or set()
            if len(entries) >= most:
                break
    newest = sorted(entries, reverse=True)[:COUNTED]
    return SearchResult([seq for _, seq in newest], is_minimum)


def _among_newest(
    connection: Connection, wanted: CallFilters, text: str, most: int
) -> tuple[set[Entry], bool]:
    """Return the matches among the newest calls of the other filters, and whether these are all.

    Each row is looked up by its number: a join might read all rows.
    """
    indexed, rest = conditions_by_index(connection, wanted)
    newest = select(*NEWEST).where(*indexed, *rest).order_by(*NEWEST_FIRST)
    some = newest.limit(LOOKED_THROUGH).cte()
    holds = select(_holds(text, wanted.sees_hidden)).where(calls.c.seq == some.c.seq)
    fit = select(some.c.started_at, some.c.seq).where(holds.correlate(some).scalar_subquery())
    matching = fit.limit(most).subquery()
    seen = select(func.count().label("number")).select_from(some).subquery()
    both = seen.outerjoin(matching, true())
    rows = connection.execute(
        select(seen.c.number, matching.c.started_at, matching.c.seq).select_from(both)
    ).all()
    found = {(at, seq) for _, at, seq in rows if seq is not None}
    return found, rows[0].number < LOOKED_THROUGH


def _entries(connection: Connection, query: Select[Any]) -> set[Entry]:
    return {(at, seq) for at, seq in connection.execute(query)}


def _older(
    connection: Connection, wanted: CallFilters, text: str, most: int
) -> Iterator[set[Entry] | None]:
    """Yield the matches of each index; ``None`` if it leads to too many calls."""
    in_room = select(*NEWEST).where(*wanted.during, calls.c.room_id == text, *wanted.fits)
    yield _entries(connection, in_room.order_by(*NEWEST_FIRST).limit(most))
    # Without an order: one that another index has would make the database choose that index.
    order = (unindexed(calls.c.started_at, 0).desc(), calls.c.seq.desc())
    for search in _index_searches(text, wanted.sees_hidden, connection.dialect.name == "sqlite"):
        bound = ALIKE if search.checks or wanted.fits else ALIKE_IN_INDEX
        alike = select(calls.c.seq).where(PHONE, search.index).limit(bound + 1)
        if counted_all(connection, alike) > bound:
            yield None
            continue
        conditions = (*wanted.during, search.index, *search.checks, *wanted.fits)
        yield _entries(connection, select(*NEWEST).where(*conditions).order_by(*order).limit(most))


def _index_searches(text: str, sees_hidden: bool, is_sqlite: bool) -> Iterator[IndexSearch]:
    plain = PUNCTUATION.sub("", text)
    is_number = NUMBER.fullmatch(plain) is not None
    digits = plain.removeprefix("+")
    begins = ({f"+{digits}", plain} if is_number else {text}) if plain.isascii() else set()
    for column, end in ((calls.c.caller, CALLER_END), (calls.c.callee, CALLEE_END)):
        shown = () if sees_hidden else (~_is_hidden(column),)
        for each in sorted(begins):
            yield IndexSearch(_begins(column, each, is_sqlite), shown)
        if is_number and len(digits) >= LAST_DIGITS and plain == digits:
            last = end == digits[-LAST_DIGITS:]
            yield IndexSearch(last, (column.endswith(digits, autoescape=True), *shown))


def _begins(column: Column[str], text: str, is_sqlite: bool) -> ColumnElement[bool]:
    after = text[:-1] + chr(ord(text[-1]) + 1)
    if is_sqlite:
        return (column >= text) & (column < after)
    # Byte by byte, in any collation of the database.
    return column.op("~>=~", is_comparison=True)(text) & column.op("~<~", is_comparison=True)(after)


def _holds(text: str, sees_hidden: bool) -> ColumnElement[bool]:
    """Whether a number or the room's id contains the text."""
    plain = PUNCTUATION.sub("", text)
    number = plain if NUMBER.fullmatch(plain) else text
    numbers = (
        column if sees_hidden else case((_is_hidden(column), ""), else_=column)
        for column in (calls.c.caller, calls.c.callee)
    )
    return or_(
        *(each.icontains(number, autoescape=True) for each in numbers),
        calls.c.room_id.icontains(text, autoescape=True),
    )


def _is_hidden(column: Column[str]) -> ColumnElement[bool]:
    """Whether the number is hidden from clients that may not see hidden numbers."""
    of = Direction.INBOUND if column is calls.c.caller else Direction.OUTBOUND
    return calls.c.hides_number & (calls.c.direction == of)
