"""Queries about sessions and their participants."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    Select,
    bindparam,
    func,
    or_,
    select,
    true,
)

from service.clock import Millis
from service.domain.call_transitions import Phase
from service.domain.calls import WEBSOCKET
from service.domain.paging import Page
from service.domain.rooms import Presence, Session, SessionParticipant, SessionStatus
from service.errors import NotFound
from service.storage.calls.phases import in_phase
from service.storage.database import Database
from service.storage.rooms import session_lists
from service.storage.rooms.session_lists import SessionFilters
from service.storage.tables import ONGOING, PRESENT, calls, rooms, sessions, stays
from service.storage.tables.base import unindexed
from service.storage.tables.rooms import NEWEST

BATCH = 1_000
"""Sessions or calls that one query of a sweep returns; the sweep repeats it for the rest."""

PRESENCES = 10_000
"""Presences that one answer about sessions contains."""

WAITING = (
    select(sessions.c.id)
    .join(stays, stays.c.session_id == sessions.c.id)
    .join(calls, calls.c.id == stays.c.call_id)
    .where(
        sessions.c.room_id == bindparam("room_id"),
        ONGOING,
        PRESENT,
        or_(
            calls.c.detached_at.is_not(None),
            calls.c.node_id.is_distinct_from(bindparam("node_id")),
        ),
    )
    .order_by(sessions.c.seq.desc())
    .limit(1)
)

BESIDE_ROOMS = sessions.outerjoin(rooms, rooms.c.id == sessions.c.room_id)


class Sessions:
    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, session_id: str) -> Session:
        """Return a session with its participants. Raises ``NotFound``."""
        found = self._where(sessions.c.id == session_id)
        if not found:
            raise NotFound("Session not found.")
        return found[0]

    def ongoing(self, room_id: str) -> Session | None:
        """Return the session that is going on in a room, if any."""
        found = self._where(sessions.c.room_id == room_id, ONGOING)
        return found[-1] if found else None

    def page(
        self,
        *,
        room_id: str | None = None,
        custom_room_id: str | None = None,
        query: str | None = None,
        since: Millis | None = None,
        until: Millis | None = None,
        status: SessionStatus | None = None,
        number: int = 1,
        per_page: int = 20,
    ) -> Page[Session]:
        """Return a page of sessions: the ongoing ones first, then newest first.

        ``query`` is a room's whole id or customRoomId. ``since`` and ``until`` (excluded) limit the
        start.
        """
        wanted = SessionFilters(room_id, custom_room_id, query, since, until, status)
        return session_lists.page(self._database, wanted, _by_seq, number, per_page)

    def presences(self, session_id: str) -> tuple[Presence, ...]:
        """Return the presences in a session, in the order of joins, with calls' statistics."""
        with self._database.read() as connection:
            rows = connection.execute(
                select(stays, calls.c.stats)
                .join(calls, calls.c.id == stays.c.call_id)
                .where(stays.c.session_id == session_id)
                .order_by(stays.c.seq)
            ).mappings()
            return tuple(_presence(row, row["stats"]) for row in rows)

    def present(self, session_id: str, participant_id: str | None = None) -> list[str]:
        """Return ids of the calls in a session, or of one participant, in the order of joins."""
        conditions = [stays.c.session_id == session_id, PRESENT]
        if participant_id is not None:
            conditions.append(stays.c.participant_id == participant_id)
        with self._database.read() as connection:
            query = select(stays.c.call_id).where(*conditions).order_by(stays.c.seq)
            return list(connection.scalars(query))

    def waiting(self, room_id: str, node_id: str | None) -> str | None:
        """Return the session of a room in which a call waits for a new socket on ``node_id``, if
        any: one that is detached, or that another node has lost the room to this one with.

        The node's media plane does not know this session. The first call that streams there
        continues it.
        """
        with self._database.read() as connection:
            found: str | None = connection.scalar(WAITING, {"room_id": room_id, "node_id": node_id})
            return found

    def overdue(self, now: Millis) -> list[Session]:
        """Return the sessions that have reached their room's time limit; the oldest ``BATCH``."""
        allowed = rooms.c.auto_close_minutes * 60_000
        return self._where(ONGOING, sessions.c.started_at + allowed <= now)

    def lonely(self, before: Millis, call_id: str | None = None) -> list[str]:
        """Return the phone calls that have been alone in their room since ``before`` or earlier,
        or this call if it has.

        Detached calls are left out: they have a deadline of their own.
        """
        alone = (
            select(func.max(stays.c.call_id).label("call_id"))
            .join(sessions, sessions.c.id == stays.c.session_id)
            .where(ONGOING, PRESENT)
            .group_by(stays.c.session_id)
            .having(func.count() == 1)
            .subquery()
        )
        others = stays.alias()
        last = select(func.max(others.c.left_at)).where(others.c.session_id == stays.c.session_id)
        with self._database.read() as connection:
            return list(
                connection.scalars(
                    select(calls.c.id)
                    .join(alone, alone.c.call_id == calls.c.id)
                    .join(stays, (stays.c.call_id == calls.c.id) & PRESENT)
                    .where(
                        calls.c.provider != WEBSOCKET,
                        in_phase(Phase.ATTACHED),
                        stays.c.joined_at <= before,
                        func.coalesce(last.scalar_subquery(), 0) <= before,
                        true() if call_id is None else calls.c.id == call_id,
                    )
                    .limit(BATCH)
                )
            )

    def _where(self, *conditions: ColumnElement[bool]) -> list[Session]:
        with self._database.read() as connection:
            oldest = _sessions().where(*conditions).order_by(unindexed(sessions.c.seq, 0))
            return _fetch(connection, oldest.limit(BATCH))


def _sessions() -> Select[Any]:
    return select(*sessions.c, rooms.c.custom_id).select_from(BESIDE_ROOMS)


def _by_seq(connection: Connection, seqs: Select[Any]) -> list[Session]:
    """Return sessions by their numbers, in the order of lists."""
    found = _sessions().where(sessions.c.seq.in_(seqs))
    return _fetch(connection, found.order_by(*(column.desc() for column in NEWEST)))


def _fetch(connection: Connection, query: Select[Any]) -> list[Session]:
    rows = connection.execute(query).mappings().all()
    known = _participants(connection, [row["id"] for row in rows])
    return [_session(row, known[row["id"]]) for row in rows]


def _participants(
    connection: Connection, session_ids: Sequence[str]
) -> defaultdict[str, list[SessionParticipant]]:
    found: defaultdict[str, list[SessionParticipant]] = defaultdict(list)
    grouped: defaultdict[tuple[str, str], list[Presence]] = defaultdict(list)
    for row in _presences(connection, session_ids) if session_ids else ():
        grouped[row["session_id"], row["participant_id"]].append(_presence(row))
    for (session_id, participant_id), own in grouped.items():
        found[session_id].append(SessionParticipant(participant_id, own[-1].name, tuple(own)))
    return found


def _presences(connection: Connection, session_ids: Sequence[str]) -> Sequence[RowMapping]:
    """Return the presences in some sessions, in the order of the joins.

    Of more than ``PRESENCES`` in total, each session has the current ones and an equal share of the
    latest earlier ones.
    """
    of_all = select(stays).where(stays.c.session_id.in_(session_ids))
    some = (
        select(stays.c.session_id).where(stays.c.session_id.in_(session_ids)).limit(PRESENCES + 1)
    )
    counted = select(func.count()).select_from(some.subquery())
    if connection.execute(counted).scalar_one() <= PRESENCES:
        return connection.execute(of_all.order_by(stays.c.seq)).mappings().all()
    rows = list(connection.execute(of_all.where(PRESENT)).mappings())
    for session_id in session_ids:
        left = select(stays).where(stays.c.session_id == session_id, stays.c.left_at.is_not(None))
        last = left.order_by(stays.c.left_at.desc()).limit(PRESENCES // len(session_ids))
        rows += connection.execute(last).mappings()
    return sorted(rows, key=lambda row: int(row["seq"]))


def _presence(row: RowMapping, stats: Mapping[str, Any] | None = None) -> Presence:
    return Presence(
        call_id=row["call_id"],
        participant_id=row["participant_id"],
        name=row["participant_name"],
        joined_at=row["joined_at"],
        left_at=row["left_at"],
        stats=stats,
    )


def _session(row: RowMapping, participants: Iterable[SessionParticipant]) -> Session:
    return Session(
        id=row["id"],
        room_id=row["room_id"],
        custom_room_id=row["custom_id"],
        region=row["region"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        participants=tuple(participants),
    )
