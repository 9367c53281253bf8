"""Questions about calls. Whatever they return comes with its ladder."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, func, select

from service.errors import NotFound
from service.model import LIVE, WAITING, WEBSOCKET, Call, CallStatus, Page
from service.storage.call_rows import fetch
from service.storage.database import Database
from service.storage.tables import calls
from service.times import Millis

BATCH = 1_000
"""Calls that a sweep is given at a time; it comes back for the rest."""


class CallQueries:
    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, call_id: str) -> Call:
        """Raises ``NotFound``."""
        found = self._where(calls.c.id == call_id)
        if not found:
            raise NotFound("Call not found")
        return found[0]

    def find(self, connector_id: str, provider_call_id: str) -> Call | None:
        """The call that the provider knows by this id, if it came through this connector."""
        found = self._where(
            calls.c.connector_id == connector_id, calls.c.provider_call_id == provider_call_id
        )
        return found[0] if found else None

    def page(
        self,
        *,
        room_id: str | None = None,
        session_id: str | None = None,
        status: CallStatus | None = None,
        number: int = 1,
        per_page: int = 10,
    ) -> Page[Call]:
        """Phone calls, newest first; a page past the last is empty."""
        filters = {"room_id": room_id, "session_id": session_id, "status": status}
        conditions = [calls.c.provider != WEBSOCKET]
        conditions += [
            calls.c[name] == value for name, value in filters.items() if value is not None
        ]
        first = (number - 1) * per_page
        with self._database.read() as connection:
            total = _count(connection, *conditions)
            items: list[Call] = []
            # A page number from outside may be larger than the integers of a database.
            if first < total:
                newest = select(calls).where(*conditions).order_by(calls.c.seq.desc())
                items = fetch(connection, newest.offset(first).limit(per_page))
        return Page(items=tuple(items), number=number, per_page=per_page, total=total)

    def live(self) -> int:
        """How many calls are incoming or answered."""
        with self._database.read() as connection:
            return count_live(connection)

    def in_room(self, room_id: str) -> list[Call]:
        """The calls that are in a room or on their way into it; the oldest ``BATCH``."""
        return self._where(calls.c.room_id == room_id, calls.c.status.in_(LIVE))

    def unclaimed(self, now: Millis) -> list[Call]:
        """Waiting calls whose time to be answered has run out; the oldest ``BATCH``."""
        return self._where(calls.c.status.in_(WAITING), calls.c.expires_at <= now)

    def lost(self, before: Millis) -> list[Call]:
        """Answered calls without a stream since ``before`` or earlier; the oldest ``BATCH``."""
        return self._where(calls.c.status == CallStatus.ANSWERED, calls.c.detached_at <= before)

    def overlong(self, before: Millis) -> list[Call]:
        """Calls that are up since ``before`` or earlier; the oldest ``BATCH``."""
        return self._where(calls.c.status == CallStatus.ANSWERED, calls.c.answered_at <= before)

    def _where(self, *conditions: ColumnElement[bool]) -> list[Call]:
        with self._database.read() as connection:
            oldest = select(calls).where(*conditions).order_by(calls.c.seq)
            return fetch(connection, oldest.limit(BATCH))


def count_live(connection: Connection) -> int:
    return _count(connection, calls.c.status.in_(LIVE))


def _count(connection: Connection, *conditions: ColumnElement[bool]) -> int:
    query = select(func.count()).select_from(calls).where(*conditions)
    return connection.execute(query).scalar_one()
