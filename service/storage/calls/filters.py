"""Filters of lists of calls, and the choice of the filter whose index the list is read along.

The index of each filter is in the order of lists and contains the columns of the other filters. So
one walk along one index answers several filters, even if few calls match all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, func, select

from service.clock import Millis
from service.domain.calls import CallStatus
from service.storage.listing import COUNTED
from service.storage.tables import PHONE, calls
from service.storage.tables.base import unindexed
from service.storage.tables.calls import CARRIED, HAS_PASSED, NEWEST_FIRST, PASSED, passed_bit

SAMPLES = 200
"""Calls by which filters are compared if each of them has more than are counted."""

Conditions = tuple[ColumnElement[bool], ...]


@dataclass(frozen=True, slots=True)
class CallFilters:
    """``equal`` has the values of columns. ``passed`` is a status that only steps have."""

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

    @property
    def fits(self) -> Conditions:
        """Return all filters in a form that uses no index."""
        return tuple(each.check for each in _filters(self))


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter that an index answers.

    ``index`` is the condition that uses the index. ``check`` is the whole filter in a form that
    uses no index. The index of an ``is_exact`` filter has no other calls.
    """

    index: ColumnElement[bool]
    check: ColumnElement[bool]
    is_exact: bool = True
    is_carried: bool = True


def _filters(wanted: CallFilters) -> Iterator[Filter]:
    carried = set(CARRIED)
    for column, value in wanted.equal.items():
        check = unindexed(column, "") == value
        yield Filter(column == value, check, is_carried=column in carried)
    if wanted.passed is not None:
        check = calls.c.passed.bitwise_and(passed_bit(wanted.passed)) != 0
        yield Filter(PASSED & (HAS_PASSED == 1), check, is_exact=False)


def conditions_by_index(
    connection: Connection, wanted: CallFilters
) -> tuple[Conditions, Conditions]:
    """Return the conditions that the best index answers, and the rest, to check of each call."""
    filters = tuple(_filters(wanted))
    if not filters:
        return wanted.during, ()
    lead = _lead(connection, wanted, filters)
    rest = (each.check for each in filters if each is not lead or not each.is_exact)
    return (*wanted.during, lead.index), tuple(rest)


def _lead(connection: Connection, wanted: CallFilters, filters: Sequence[Filter]) -> Filter:
    if len(filters) == 1:
        return filters[0]
    for each in filters:
        if not each.is_carried:
            # The id of a call or session: no other index contains it.
            return each
    counts = _numbers(connection, wanted, filters)
    if min(counts) > COUNTED:
        counts = _samples(connection, filters)
    return filters[min(range(len(filters)), key=counts.__getitem__)]


def _numbers(
    connection: Connection, wanted: CallFilters, filters: Sequence[Filter]
) -> Sequence[int]:
    """Count the calls of each filter, up to one more than are counted."""
    of_each = (
        select(calls.c.seq)
        .where(*wanted.during, each.index)
        .order_by(*NEWEST_FIRST)
        .limit(COUNTED + 1)
        .subquery()
        for each in filters
    )
    numbers = (select(func.count()).select_from(some).scalar_subquery() for some in of_each)
    return tuple(connection.execute(select(*numbers)).one())


def _samples(connection: Connection, filters: Sequence[Filter]) -> Sequence[int]:
    """Count the calls of each filter in a sample from the oldest call to the newest."""
    ends = select(func.min(calls.c.seq)), select(func.max(calls.c.seq))
    oldest, newest = (connection.execute(each).scalar_one() for each in ends)
    seqs = [oldest + (newest - oldest) * number // SAMPLES for number in range(SAMPLES + 1)]
    numbers = (func.count().filter(each.index) for each in filters)
    return tuple(connection.execute(select(*numbers).where(calls.c.seq.in_(seqs))).one())
