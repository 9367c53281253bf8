"""Dispatches: agents that are sent into rooms, as whoever sends them asks and tells.

Each method is one transaction, and holds only for the state that it names: what comes late, after
the agent has joined, changes nothing, and the method returns ``None``.
"""

from __future__ import annotations

import threading
from typing import Any

from sqlalchemy import Connection, Update, exists, func, select

from service.clock import Millis
from service.domain.agents import Dispatch, DispatchStatus
from service.domain.webhook_events import RoomEvent
from service.storage.agents.dispatch_rows import (
    COMING,
    UNDER_WAY,
    begin,
    changed,
    climb,
    dispatch_of,
    one,
    tell,
)
from service.storage.change_signals import ChangeSignal
from service.storage.database import Database
from service.storage.tables import ONGOING, alive, calls, dispatches, sessions

BATCH = 100
"""Dispatches that are looked at in one go; the rest has its turn soon after."""


class Dispatches:
    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def signal(self) -> threading.Event:
        """Set after a transaction that made something to do for a dispatch."""
        return self._database.signals[ChangeSignal.DISPATCHES]

    def get(self, dispatch_id: str) -> Dispatch:
        with self._database.read() as connection:
            query = select(dispatches).where(dispatches.c.id == dispatch_id)
            return dispatch_of(connection.execute(query).mappings().one())

    def of_call(self, call_id: str) -> tuple[Dispatch, ...]:
        """Every agent that was sent for a call, as it was sent for."""
        with self._database.read() as connection:
            query = select(dispatches).where(dispatches.c.call_id == call_id)
            rows = connection.execute(query.order_by(dispatches.c.seq)).mappings()
            return tuple(dispatch_of(row) for row in rows)

    def add(self, dispatch: Dispatch) -> None:
        """Add one that belongs to no call."""
        with self._database.write() as connection:
            begin(connection, dispatch, _session(connection, dispatch))

    def take(self, now: Millis, until: Millis) -> Dispatch | None:
        """The one that has been due for an attempt longest; nobody else is given it before
        ``until``. Where it has a ticket, that is of an attempt which was cut off.
        """
        due = (dispatches.c.status == DispatchStatus.PENDING, dispatches.c.due_at <= now)
        oldest = select(dispatches).where(*due).order_by(dispatches.c.due_at, dispatches.c.seq)
        with self._database.write() as connection:
            first = oldest.limit(1).with_for_update(skip_locked=True)
            found = connection.execute(first).first()
            return (
                None if found is None else changed(connection, one(found.id).values(due_at=until))
            )

    def ticketed(self, dispatch: Dispatch, ticket_id: str) -> Dispatch | None:
        """An attempt is about to be made with this ticket; ``None`` where none is to be made."""
        return self._attempted(dispatch, ticket_id=ticket_id)

    def sent(self, dispatch: Dispatch, until: Millis) -> Dispatch | None:
        """The agent has taken it, and is to join before ``until``; ``None`` where it has joined."""
        return self._attempted(dispatch, status=DispatchStatus.SENT, due_at=until)

    def overdue(self, now: Millis) -> tuple[Dispatch, ...]:
        """Those that were taken and have not joined in time; the oldest ``BATCH``."""
        with self._database.read() as connection:
            query = select(dispatches).where(
                dispatches.c.status == DispatchStatus.SENT, dispatches.c.due_at <= now
            )
            rows = connection.execute(query.order_by(dispatches.c.seq).limit(BATCH)).mappings()
            return tuple(dispatch_of(row) for row in rows)

    def missed(
        self, dispatch: Dispatch, detail: str, at: Millis, due_at: Millis | None
    ) -> Dispatch | None:
        """An attempt came to nothing: there is another one at ``due_at``, or the dispatch failed.

        Nobody joins by its ticket any more. ``None`` where the agent has done so meanwhile.
        """
        failed = due_at is None
        with self._database.write() as connection:
            missed = changed(
                connection,
                _still(dispatch, COMING).values(
                    status=DispatchStatus.FAILED if failed else DispatchStatus.PENDING,
                    attempts=dispatch.attempts + 1,
                    due_at=due_at,
                    ticket_id=None,
                    detail=detail,
                ),
            )
            if missed is not None:
                again = "" if failed else ", and is sent for again"
                climb(connection, missed, at, f"{detail}{again}")
            if missed is not None and failed:
                session_id = _session(connection, missed)
                tell(connection, RoomEvent.AGENT_FAILED, missed, session_id, at, reason=detail)
            return missed

    def next_due(self) -> Millis | None:
        """When there is something to do next, if there is anything to wait for."""
        with self._database.read() as connection:
            coming = dispatches.c.status.in_(COMING)
            found: Millis | None = connection.scalar(
                select(func.min(dispatches.c.due_at)).where(coming)
            )
            return found

    def forsaken(self) -> list[str]:
        """Calls of agents whose own call is over, and who are with nobody but agents.

        The oldest ``BATCH``. Agents do not keep each other there.
        """
        own, other = calls.alias(), calls.alias()
        is_agent = exists().where(dispatches.c.ticket_id == other.c.id).correlate(other)
        company = exists().where(other.c.room_id == calls.c.room_id, alive(other), ~is_agent)
        with self._database.read() as connection:
            query = (
                select(calls.c.id)
                .select_from(dispatches)
                .join(calls, calls.c.id == dispatches.c.ticket_id)
                .join(own, own.c.id == dispatches.c.call_id)
                .where(
                    dispatches.c.status.in_(UNDER_WAY),
                    alive(),
                    ~alive(own),
                    ~company.correlate(calls),
                )
            )
            return list(connection.scalars(query.order_by(dispatches.c.seq).limit(BATCH)))

    def _attempted(self, dispatch: Dispatch, **values: Any) -> Dispatch | None:
        with self._database.write() as connection:
            pending = _still(dispatch, (DispatchStatus.PENDING,))
            return changed(connection, pending.values(**values))


def _session(connection: Connection, dispatch: Dispatch) -> str | None:
    """The session that goes on in the room, if one does."""
    ongoing = select(sessions.c.id).where(sessions.c.room_id == dispatch.room_id, ONGOING)
    found: str | None = connection.scalar(ongoing.order_by(sessions.c.seq.desc()).limit(1))
    return found


def _still(dispatch: Dispatch, states: tuple[DispatchStatus, ...]) -> Update:
    """A change of a dispatch that is in one of the states, and at the attempt that we know of."""
    return one(dispatch.id).where(
        dispatches.c.status.in_(states),
        dispatches.c.ticket_id.is_not_distinct_from(dispatch.ticket_id),
    )
