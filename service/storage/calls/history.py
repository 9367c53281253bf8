"""Deletion of history: ended calls with all their rows, a few at a time.

A transaction takes its locks in the order of the package: references, then the calls, then the
rest. Deliveries about a call are deleted with it.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import Column, Connection, Select, delete, exists, or_, select

from service.clock import Millis
from service.domain.calls import CallStatus
from service.errors import Conflict, NotFound
from service.storage.database import Database
from service.storage.tables import (
    FINISHED,
    OVER,
    calls,
    deliveries,
    dispatches,
    loudness,
    refs,
    sessions,
    stays,
    steps,
)
from service.storage.webhooks.outbox import AFTERMATH

PIECE = 1
"""Calls that one transaction deletes. A webhook waits for at most one such transaction, and three
million calls a day can still be deleted."""

ROWS = 50
"""References or deliveries that one transaction deletes."""


class History:
    def __init__(self, database: Database, piece: int = PIECE, rows: int = ROWS) -> None:
        self._database = database
        self._piece = piece
        self._rows = rows

    def delete(self, call_id: str) -> None:
        """Delete one call that is over. Raises ``NotFound``, or ``Conflict`` if it is live."""
        with self._database.write() as connection:
            connection.execute(delete(refs).where(refs.c.call_id == call_id))
            locked = select(calls.c.status, calls.c.started_at, calls.c.ended_at)
            row = connection.execute(
                locked.where(calls.c.id == call_id).with_for_update()
            ).one_or_none()
            if row is None:
                raise NotFound("Call not found")
            if CallStatus(row.status).is_live:
                raise Conflict(f"The call is {row.status}; end it before it is deleted.")
            _forget(connection, [call_id])
            until = (row.ended_at or row.started_at) + AFTERMATH
            about_it = select(deliveries.c.seq).where(
                deliveries.c.created_at.between(row.started_at, until),
                deliveries.c.body.contains(call_id, autoescape=True),
            )
            in_order = about_it.order_by(deliveries.c.seq).with_for_update()
            seqs = connection.scalars(in_order).all()
            connection.execute(delete(deliveries).where(deliveries.c.seq.in_(seqs)))

    def forget_calls(self, before: Millis, after: int = 0) -> int | None:
        """Delete those of the next ``piece`` calls that ended before a time.

        Calls are taken in the order in which they began, from number ``after`` on. Returns the
        number of the last one, or ``None`` if the rest began after that time.
        """
        next_ones = select(calls.c.seq, calls.c.id, calls.c.started_at, calls.c.ended_at)
        next_ones = next_ones.where(calls.c.seq > after).order_by(calls.c.seq).limit(self._piece)
        with self._database.read() as connection:
            rows = connection.execute(next_ones).all()
        old = [row.id for row in rows if row.ended_at is not None and row.ended_at < before]
        if old:
            with self._database.write() as connection:
                connection.execute(delete(refs).where(refs.c.call_id.in_(old)))
                # Locked, because a late remark of a provider could add a step.
                by_id = select(calls.c.id).where(calls.c.id.in_(old)).order_by(calls.c.id)
                connection.execute(by_id.with_for_update())
                _forget(connection, old)
        return rows[-1].seq if rows and rows[-1].started_at < before else None

    def forget_deliveries(self, before: Millis) -> bool:
        """Delete some deliveries from before a time. Returns whether there may be more."""
        old = select(deliveries.c.seq).where(FINISHED, deliveries.c.created_at < before)
        return self._forget_some(deliveries.c.seq, old.order_by(deliveries.c.created_at))

    def forget_refs(self, before: Millis) -> bool:
        """Delete some references that expired before a time. Returns whether there may be more.

        References of live calls stay: they may be used again.
        """
        own = exists().where(calls.c.id == refs.c.call_id, calls.c.ended_at < before)
        old = select(refs.c.digest).where(refs.c.expires_at < before, own.correlate(refs))
        return self._forget_some(refs.c.digest, old.order_by(refs.c.expires_at))

    def _forget_some(self, key: Column[Any], old: Select[Any]) -> bool:
        """Delete some rows. Rows that others have locked are left to the next time."""
        with self._database.write() as connection:
            some = connection.scalars(old.limit(self._rows).with_for_update(skip_locked=True)).all()
            if some:
                connection.execute(delete(key.table).where(key.in_(some)))
        return len(some) == self._rows


def _forget(connection: Connection, call_ids: Collection[str]) -> None:
    """Delete locked calls, and the sessions without other participants."""
    for table in (steps, loudness):
        connection.execute(delete(table).where(table.c.call_id.in_(call_ids)))
    connection.execute(
        delete(dispatches).where(
            or_(dispatches.c.call_id.in_(call_ids), dispatches.c.ticket_id.in_(call_ids))
        )
    )
    visited = delete(stays).where(stays.c.call_id.in_(call_ids)).returning(stays.c.session_id)
    left = set(connection.scalars(visited))
    connection.execute(delete(calls).where(calls.c.id.in_(call_ids)))
    if left:
        empty = ~exists().where(stays.c.session_id == sessions.c.id).correlate(sessions)
        connection.execute(delete(sessions).where(sessions.c.id.in_(left), OVER, empty))
