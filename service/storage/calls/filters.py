"""Filters of lists of calls, and the one along whose index a list is read.

The index of each filter is in the order of lists and carries the columns of the other filters, so
that several filters are answered by walking one index, however few calls they have in common.
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
from service.storage.tables.base import unled
from service.storage.tables.calls import CARRIED, HAS_PASSED, NEWEST_FIRST, PASSED, passed_bit

SAMPLES = 200
"""Calls by which filters are compared, where each of them has more than are counted."""

Conditions = tuple[ColumnElement[bool], ...]


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

    @property
    def fits(self) -> Conditions:
        """All filters, hidden from the planner."""
        return tuple(each for one in _filters(self) for each in (*one.hidden, *one.rest))


@dataclass(frozen=True, slots=True)
class Filter:
    """``leads`` is what its index is found by, ``hidden`` the same without leading there, and
    ``rest`` what remains to be checked in either case.
    """

    leads: ColumnElement[bool]
    hidden: Conditions
    rest: Conditions = ()
    is_carried: bool = True


def _filters(wanted: Wanted) -> Iterator[Filter]:
    for column, value in wanted.equal.items():
        yield Filter(
            column == value, (unled(column, "") == value,), is_carried=column in set(CARRIED)
        )
    if wanted.passed is not None:
        yield Filter(
            PASSED & (HAS_PASSED == 1),
            (),
            (calls.c.passed.bitwise_and(passed_bit(wanted.passed)) != 0,),
        )


def led(connection: Connection, wanted: Wanted) -> tuple[Conditions, Conditions]:
    """The conditions that lead, by an index to the fewest calls, and the rest."""
    filters = tuple(_filters(wanted))
    if not filters:
        return wanted.during, ()
    lead = _lead(connection, wanted, filters)
    rest = [*lead.rest]
    for each in filters:
        if each is not lead:
            rest += [*each.hidden, *each.rest]
    return (*wanted.during, lead.leads), tuple(rest)


def _lead(connection: Connection, wanted: Wanted, filters: Sequence[Filter]) -> Filter:
    if len(filters) == 1:
        return filters[0]
    for each in filters:
        if not each.is_carried:
            # One call, or one session's: the other indexes could not tell.
            return each
    counts = _numbers(connection, wanted, filters)
    if min(counts) > COUNTED:
        counts = _samples(connection, filters)
    return filters[min(range(len(filters)), key=counts.__getitem__)]


def _numbers(connection: Connection, wanted: Wanted, filters: Sequence[Filter]) -> Sequence[int]:
    """How many calls each of the filters leads to, up to one more than are counted."""
    of_each = (
        select(calls.c.seq)
        .where(*wanted.during, each.leads)
        .order_by(*NEWEST_FIRST)
        .limit(COUNTED + 1)
        .subquery()
        for each in filters
    )
    numbers = (select(func.count()).select_from(some).scalar_subquery() for some in of_each)
    return tuple(connection.execute(select(*numbers)).one())


def _samples(connection: Connection, filters: Sequence[Filter]) -> Sequence[int]:
    """How many of some calls, from the oldest to the newest, each of the filters leads to."""
    ends = select(func.min(calls.c.seq)), select(func.max(calls.c.seq))
    oldest, newest = (connection.execute(each).scalar_one() for each in ends)
    seqs = [oldest + (newest - oldest) * number // SAMPLES for number in range(SAMPLES + 1)]
    numbers = (func.count().filter(each.leads) for each in filters)
    return tuple(connection.execute(select(*numbers).where(calls.c.seq.in_(seqs))).one())
