"""Dispatches: agents that are sent into rooms, and the progress of each.

Each method is one transaction, conditional on the state that it names. A late one, after the agent
has joined, changes nothing and returns ``None``.
"""

from __future__ import annotations

import threading
from typing import Any

from sqlalchemy import Connection, Update, exists, func, select, true

from service.clock import Millis
from service.domain.agents import Dispatch, DispatchStatus
from service.domain.webhook_events import RoomEvent
from service.storage.agents.dispatch_rows import (
    COMING,
    UNDER_WAY,
    add_step,
    announce,
    begin,
    changed,
    dispatch_of,
    one,
)
from service.storage.change_signals import ChangeSignal
from service.storage.database import Database
from service.storage.tables import ONGOING, alive, calls, dispatches, sessions

BATCH = 100
"""Dispatches that one query returns; the rest follow soon after."""


class Dispatches:
    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def signal(self) -> threading.Event:
        """Set after a transaction that made work for the dispatcher."""
        return self._database.signals[ChangeSignal.DISPATCHES]

    def get(self, dispatch_id: str) -> Dispatch:
        with self._database.read() as connection:
            query = select(dispatches).where(dispatches.c.id == dispatch_id)
            return dispatch_of(connection.execute(query).mappings().one())

    def of_call(self, call_id: str) -> tuple[Dispatch, ...]:
        """Return every dispatch of a call, in order."""
        with self._database.read() as connection:
            query = select(dispatches).where(dispatches.c.call_id == call_id)
            rows = connection.execute(query.order_by(dispatches.c.seq)).mappings()
            return tuple(dispatch_of(row) for row in rows)

    def add(self, dispatch: Dispatch) -> None:
        """Add a dispatch that belongs to no call."""
        with self._database.write() as connection:
            begin(connection, dispatch, _session(connection, dispatch))

    def take(self, now: Millis, until: Millis) -> Dispatch | None:
        """Lease the dispatch that has been due longest, until ``until``.

        A dispatch that has a ticket is from an attempt that was interrupted.
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
        """Store the ticket of an attempt that is about to begin. Returns ``None`` if none is to be
        made.
        """
        return self._attempted(dispatch, ticket_id=ticket_id)

    def sent(self, dispatch: Dispatch, until: Millis) -> Dispatch | None:
        """Note that the agent has accepted, and is to join before ``until``. ``None`` if it has
        joined.
        """
        return self._attempted(dispatch, status=DispatchStatus.SENT, due_at=until)

    def overdue(self, now: Millis) -> tuple[Dispatch, ...]:
        """Return accepted dispatches whose agents have not joined in time; the oldest ``BATCH``."""
        with self._database.read() as connection:
            query = select(dispatches).where(
                dispatches.c.status == DispatchStatus.SENT, dispatches.c.due_at <= now
            )
            rows = connection.execute(query.order_by(dispatches.c.seq).limit(BATCH)).mappings()
            return tuple(dispatch_of(row) for row in rows)

    def missed(
        self, dispatch: Dispatch, detail: str, at: Millis, due_at: Millis | None
    ) -> Dispatch | None:
        """Note a failed attempt: the next one is at ``due_at``, or the dispatch has failed.

        Its ticket is void. Returns ``None`` if the agent has joined in the meantime.
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
                add_step(connection, missed, at, f"{detail}{again}")
            if missed is not None and failed:
                session_id = _session(connection, missed)
                announce(connection, RoomEvent.AGENT_FAILED, missed, session_id, at, reason=detail)
            return missed

    def next_due(self) -> Millis | None:
        """Return when the next dispatch is due, if any is pending."""
        with self._database.read() as connection:
            coming = dispatches.c.status.in_(COMING)
            found: Millis | None = connection.scalar(
                select(func.min(dispatches.c.due_at)).where(coming)
            )
            return found

    def forsaken(self, call_id: str | None = None) -> list[str]:
        """Return the tickets of agents that should leave, or this one if it is such; the oldest
        ``BATCH``.

        The call that the agent was sent for is over, and only agents are in the room.
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
                    true() if call_id is None else calls.c.id == call_id,
                )
            )
            return list(connection.scalars(query.order_by(dispatches.c.seq).limit(BATCH)))

    def _attempted(self, dispatch: Dispatch, **values: Any) -> Dispatch | None:
        with self._database.write() as connection:
            pending = _still(dispatch, (DispatchStatus.PENDING,))
            return changed(connection, pending.values(**values))


def _session(connection: Connection, dispatch: Dispatch) -> str | None:
    """Return the session that is going on in the room, if any."""
    ongoing = select(sessions.c.id).where(sessions.c.room_id == dispatch.room_id, ONGOING)
    found: str | None = connection.scalar(ongoing.order_by(sessions.c.seq.desc()).limit(1))
    return found


def _still(dispatch: Dispatch, states: tuple[DispatchStatus, ...]) -> Update:
    """Build a change of a dispatch that is in one of the states, in the same attempt and with the
    same ticket. Another node may have gone on with it.
    """
    return one(dispatch.id).where(
        dispatches.c.status.in_(states),
        dispatches.c.attempts == dispatch.attempts,
        dispatches.c.ticket_id.is_not_distinct_from(dispatch.ticket_id),
    )
