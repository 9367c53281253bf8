"""Lists of sessions: first the ongoing ones, then the others, newest first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, or_, select

from service.clock import Millis
from service.domain.paging import Page
from service.domain.rooms import Session, SessionStatus
from service.storage.database import Database
from service.storage.listing import EntryCount, Newest, PageRequest, counted, counted_all, page_of
from service.storage.tables import ONGOING, OVER, rooms, sessions
from service.storage.tables.rooms import NEWEST

Fetch = Callable[[Connection, Select[Any]], Sequence[Session]]


@dataclass(frozen=True, slots=True)
class SessionFilters:
    """As in ``Sessions.page``."""

    room_id: str | None = None
    custom_room_id: str | None = None
    query: str | None = None
    since: Millis | None = None
    until: Millis | None = None
    status: SessionStatus | None = None


def page(
    database: Database, wanted: SessionFilters, fetch: Fetch, number: int, per_page: int
) -> Page[Session]:
    source = Newest(sessions, NEWEST, fetch)
    with database.listing() as connection:
        conditions = _conditions(connection, wanted)
        ongoing, over = ((*conditions, state) for state in (ONGOING, OVER))

        def entries(state: SessionStatus) -> Select[Any]:
            some = ongoing if state is SessionStatus.ONGOING else over
            query = select(sessions.c.seq).where(*some)
            return query.order_by(*(each.desc() for each in NEWEST))

        states = [each for each in SessionStatus if wanted.status in (None, each)]
        counts = {each: counted(connection, entries(each)) for each in states}
        # Ongoing sessions have live calls, which are always fewer than a list counts.
        present = counts[SessionStatus.ONGOING].number if SessionStatus.ONGOING in counts else 0
        request = PageRequest((wanted, "over"), number, per_page)

        def read(most: int) -> Sequence[Session]:
            found: list[Session] = []
            if request.first < present:
                first_ones = replace(request, key=(wanted, "ongoing"))
                found += source.read(database.lists, connection, ongoing, first_ones, most)
            if len(found) < most and wanted.status is not SessionStatus.ONGOING:
                rest = most - len(found)
                found += source.read(database.lists, connection, over, request, rest, present)
            return found

        count = EntryCount(
            sum(each.number for each in counts.values()),
            all(each.is_all for each in counts.values()),
        )
        return page_of(
            request,
            count,
            read,
            lambda: sum(counted_all(connection, entries(each)) for each in states),
        )


def _conditions(connection: Connection, wanted: SessionFilters) -> tuple[ColumnElement[bool], ...]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.room_id is not None:
        conditions.append(sessions.c.room_id == wanted.room_id)
    # The room is looked up first: its index then leads to its sessions in their order.
    if wanted.custom_room_id is not None:
        conditions.append(_in_room(connection, rooms.c.custom_id == wanted.custom_room_id))
    if wanted.query is not None:
        either = or_(rooms.c.id == wanted.query, rooms.c.custom_id == wanted.query)
        conditions.append(_in_room(connection, either, wanted.query))
    if wanted.since is not None:
        conditions.append(sessions.c.started_at >= wanted.since)
    if wanted.until is not None:
        conditions.append(sessions.c.started_at < wanted.until)
    return tuple(conditions)


def _in_room(
    connection: Connection, which: ColumnElement[bool], *room_ids: str
) -> ColumnElement[bool]:
    """Whether a session is in a room that fits, or of one of these ids, known or not."""
    known = {*connection.scalars(select(rooms.c.id).where(which)), *room_ids}
    room_id, *more = sorted(known) or [""]
    one: ColumnElement[bool] = sessions.c.room_id == room_id
    return sessions.c.room_id.in_((room_id, *more)) if more else one
