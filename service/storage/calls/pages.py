"""Lists of phone calls, newest first, at a cost that does not grow with history.

The filter with the fewest calls is read along its index, and the others are checked for each of
them. A search looks for any part of a number or of a room's id among the newest calls alone. Beyond
those it finds a number by its beginning or its last digits, and a room by its whole id.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    CTE,
    Column,
    ColumnElement,
    Connection,
    FromClause,
    Select,
    and_,
    func,
    select,
)

from service.clock import Millis
from service.domain.calls import Call, CallStatus
from service.domain.paging import Page
from service.storage.calls import text_search
from service.storage.calls.rows import fetch
from service.storage.database import Database
from service.storage.listing import COUNTED, Count, Newest, Place, counted, counted_all, page_of
from service.storage.tables import PASSED, PHONE, calls, steps
from service.storage.tables.base import unled
from service.storage.tables.calls import NEWEST, is_phone

LOOKED_THROUGH = 10_000
"""The newest calls, which are searched in full."""

SAMPLES = 200
"""Calls by which filters are compared, where each of them has more than are counted."""

FOUND = 1_000
"""What is found is counted up to here."""

PASSES = 2_000
"""The last steps of a status that are looked at first."""

NEWEST_FIRST = tuple(column.desc() for column in NEWEST)

Conditions = tuple[ColumnElement[bool], ...]
Columns = tuple[Column[Any], ...]


def _fetch(connection: Connection, seqs: Select[Any] | Sequence[int]) -> list[Call]:
    those = select(calls).where(calls.c.seq.in_(seqs)).order_by(*NEWEST_FIRST)
    return fetch(connection, those)


LIST = Newest(calls, NEWEST, _fetch)


@dataclass(frozen=True, slots=True)
class Wanted:
    """``equal`` are the values of columns. ``passed`` is a status that only steps have."""

    equal: Mapping[Column[Any], str]
    since: Millis | None = None
    until: Millis | None = None
    passed: CallStatus | None = None
    search: str | None = None
    sees_hidden: bool = True

    @property
    def during(self) -> Conditions:
        conditions: list[ColumnElement[bool]] = [PHONE]
        if self.since is not None:
            conditions.append(calls.c.started_at >= self.since)
        if self.until is not None:
            conditions.append(calls.c.started_at < self.until)
        return tuple(conditions)


def page(database: Database, wanted: Wanted, number: int, per_page: int) -> Page[Call]:
    with database.listing() as connection:
        if wanted.search or wanted.passed is not None:
            return _sought(connection, wanted, number, per_page)
        return _listed(database, connection, wanted, number, per_page)


def _listed(
    database: Database, connection: Connection, wanted: Wanted, number: int, per_page: int
) -> Page[Call]:
    lead, others = _led(connection, wanted)
    is_sqlite = connection.dialect.name == "sqlite"
    newest = select(*NEWEST).where(*lead).order_by(*NEWEST_FIRST)
    some = newest.limit(COUNTED + 1).cte()
    fit = [_is_too(column, wanted, is_sqlite, some) for column in others]
    count = _counted(connection, newest, some, fit)
    rest = [_is_too(column, wanted, is_sqlite) for column in others]
    key = ("calls", frozenset(wanted.equal.items()), wanted.since, wanted.until, per_page)

    def read(first: int, most: int) -> Sequence[Call]:
        if fit and first + most <= count.number:
            # The page is among those that were counted.
            order = some.c.started_at.desc(), some.c.seq.desc()
            seqs = select(some.c.seq).where(*fit).order_by(*order)
            return _fetch(connection, seqs.limit(most).offset(first))
        place = Place(key, number, per_page, first, most)
        return LIST.read(database.lists, connection, (*lead, *rest), place)

    everything = select(calls.c.seq).where(*lead, *rest).order_by(*NEWEST_FIRST)
    return page_of(number, per_page, count, read, lambda: counted_all(connection, everything))


def _counted(
    connection: Connection, newest: Select[Any], some: CTE, fit: Sequence[ColumnElement[bool]]
) -> Count:
    """How many there are of the newest ``COUNTED``, if not all of ``some`` fit."""
    if not fit:
        return counted(connection, newest)
    found, seen = connection.execute(
        select(
            select(func.count()).select_from(some).where(*fit).scalar_subquery(),
            select(func.count()).select_from(some).scalar_subquery(),
        )
    ).one()
    return Count(found, seen <= COUNTED)


def _led(connection: Connection, wanted: Wanted) -> tuple[Conditions, Columns]:
    """The conditions that lead, by an index to the fewest calls, and the columns of the rest."""
    columns = tuple(wanted.equal)
    conditions = [column == value for column, value in wanted.equal.items()]
    if len(columns) < 2:
        return (*wanted.during, *conditions), ()
    counts = _numbers(connection, wanted, conditions)
    if min(counts) > COUNTED:
        counts = _samples(connection, conditions)
    fewest = min(range(len(columns)), key=counts.__getitem__)
    return (*wanted.during, conditions[fewest]), (*columns[:fewest], *columns[fewest + 1 :])


def _numbers(
    connection: Connection, wanted: Wanted, conditions: Sequence[ColumnElement[bool]]
) -> Sequence[int]:
    """How many calls each of the conditions leads to, up to one more than are counted."""
    of_each = (
        select(calls.c.seq).where(*wanted.during, condition).limit(COUNTED + 1).subquery()
        for condition in conditions
    )
    numbers = (select(func.count()).select_from(some).scalar_subquery() for some in of_each)
    return tuple(connection.execute(select(*numbers)).one())


def _samples(connection: Connection, conditions: Sequence[ColumnElement[bool]]) -> Sequence[int]:
    """How many of some calls, from the oldest to the newest, each of the conditions holds for."""
    ends = select(func.min(calls.c.seq)), select(func.max(calls.c.seq))
    oldest, newest = (connection.execute(each).scalar_one() for each in ends)
    seqs = [oldest + (newest - oldest) * number // SAMPLES for number in range(SAMPLES + 1)]
    numbers = (func.count().filter(condition) for condition in conditions)
    return tuple(connection.execute(select(*numbers).where(calls.c.seq.in_(seqs))).one())


def _is_too(
    column: Column[Any], wanted: Wanted, is_sqlite: bool, few: FromClause | None = None
) -> ColumnElement[bool]:
    """Whether a call is in another index as well. All are in one order, so that this reads no row,
    and Postgres goes along both at once; but of a ``few`` calls it looks each one up.
    """
    of = calls if few is None else few
    other = calls.alias()
    at, number = of.c.started_at, of.c.seq
    # SQLite would go to the row by its number where that is said to be equal.
    is_same = other.c.seq.between(number, number) if is_sqlite else other.c.seq == number
    there = is_phone(other), other.c[column.name] == wanted.equal[column]
    found = select(other.c.seq).where(*there, other.c.started_at == at, is_same).correlate(of)
    return found.exists() if few is None else found.limit(1).scalar_subquery().is_not(None)


def _sought(connection: Connection, wanted: Wanted, number: int, per_page: int) -> Page[Call]:
    """A page of what is found. The first question is about the newest, and mostly it is enough."""
    first = (number - 1) * per_page
    most = min(max(FOUND, first + per_page), COUNTED) + 1
    lead, others = _led(connection, wanted)
    is_sqlite = connection.dialect.name == "sqlite"
    scope = (
        *wanted.during,
        *(unled(column, "") == value for column, value in wanted.equal.items()),
    )
    if not wanted.search and wanted.passed is not None:
        passed = calls.c.id.in_(_passing(wanted.passed))
        lately = _lately_passed(wanted.passed)
        queries = [_found(most, *scope, *lately), _found(most, *scope, passed)]
    else:
        text = wanted.search or ""
        rest = [_is_too(column, wanted, is_sqlite, calls) for column in others]
        beside = () if wanted.passed is None else (_has_passed(wanted.passed),)
        fits = (*rest, *beside, text_search.holds(text, wanted.sees_hidden))
        queries = [_among_newest(most, lead, fits)]
        ways = text_search.ways(text, wanted.sees_hidden, is_sqlite)
        queries += [_found(most, *scope, *beside, *way) for way in ways]
    found: set[tuple[Millis, int]] = set()
    is_minimum = False
    for query in queries:
        some = connection.execute(query).all()
        found.update((at, seq) for at, seq in some)
        is_minimum = is_minimum or len(some) == most
        if len(found) >= most:
            # The newest calls are complete, and no older call comes before them.
            break
    total = min(len(found), COUNTED)
    seqs = [seq for _, seq in sorted(found, reverse=True)[:total][first : first + per_page]]
    items = _fetch(connection, seqs) if seqs else []
    return Page(tuple(items), number, per_page, total, is_minimum)


def _among_newest(most: int, lead: Conditions, fits: Conditions) -> Select[Any]:
    newest = select(*NEWEST, and_(*fits).label("fits")).where(*lead).order_by(*NEWEST_FIRST)
    looked_at = newest.limit(LOOKED_THROUGH).subquery()
    return select(looked_at.c.started_at, looked_at.c.seq).where(looked_at.c.fits).limit(most)


def _found(most: int, *conditions: ColumnElement[bool]) -> Select[Any]:
    """The newest by an index of something else. An order that an index has would tempt a database
    to look for them along that one.
    """
    order = (unled(calls.c.started_at, 0).desc(), calls.c.seq.desc())
    return select(*NEWEST).where(*conditions).order_by(*order).limit(most)


def _passing(status: CallStatus) -> Select[Any]:
    return select(steps.c.call_id).where(PASSED, steps.c.status == status)


def _has_passed(status: CallStatus) -> ColumnElement[bool]:
    """The same of one call, by its own steps."""
    there = steps.c.call_id == calls.c.id, unled(steps.c.status, "") == status
    found = select(steps.c.seq).where(*there).correlate(calls)
    return found.limit(1).scalar_subquery().is_not(None)


def _lately_passed(status: CallStatus) -> Conditions:
    """The last steps of a status tell all calls that have passed through it and began later than
    the first of them.
    """
    last = _passing(status).add_columns(steps.c.at).order_by(steps.c.seq.desc()).limit(PASSES).cte()
    since = select(func.min(last.c.at)).scalar_subquery()
    return calls.c.id.in_(select(last.c.call_id)), calls.c.started_at >= since
