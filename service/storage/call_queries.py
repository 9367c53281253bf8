"""Questions about calls. Whatever they return comes with its ladder."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, bindparam, case, exists, func, or_, select

from service.errors import NotFound
from service.model import LIVE, WAITING, WEBSOCKET, Call, CallStatus, Direction, Page
from service.storage.call_rows import CALL, fetch
from service.storage.database import Database
from service.storage.tables import calls, refs, steps
from service.times import Millis

BATCH = 1_000
"""Calls that a sweep is given at a time; it comes back for the rest."""

OF_PROVIDER = select(calls).where(
    calls.c.connector_id == bindparam("connector_id"),
    calls.c.provider_call_id == bindparam("provider_call_id"),
)
HOW_MANY_LIVE = select(func.count()).select_from(calls).where(calls.c.status.in_(LIVE))


class CallQueries:
    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, call_id: str) -> Call:
        """Raises ``NotFound``."""
        with self._database.read() as connection:
            found = fetch(connection, CALL, call_id=call_id)
        if not found:
            raise NotFound("Call not found")
        return found[0]

    def find(self, connector_id: str, provider_call_id: str) -> Call | None:
        """The call that the provider knows by this id, if it came through this connector."""
        with self._database.read() as connection:
            found = fetch(
                connection,
                OF_PROVIDER,
                connector_id=connector_id,
                provider_call_id=provider_call_id,
            )
        return found[0] if found else None

    def page(
        self,
        *,
        call_id: str | None = None,
        room_id: str | None = None,
        session_id: str | None = None,
        connector_id: str | None = None,
        rule_id: str | None = None,
        direction: Direction | None = None,
        status: CallStatus | None = None,
        search: str | None = None,
        since: Millis | None = None,
        until: Millis | None = None,
        sees_hidden: bool = True,
        number: int = 1,
        per_page: int = 10,
    ) -> Page[Call]:
        """Phone calls, newest first; a page past the last is empty.

        A ``status`` that only steps have finds the calls that have been through it. ``search`` is
        part of either number or of the room's id; of hidden numbers, only where they may be seen.
        ``since`` and ``until`` limit when they began, the second excluded.
        """
        filters = {
            calls.c.id: call_id,
            calls.c.room_id: room_id,
            calls.c.session_id: session_id,
            calls.c.connector_id: connector_id,
            calls.c.rule_id: rule_id,
            calls.c.direction: direction,
        }
        conditions = [calls.c.provider != WEBSOCKET]
        conditions += [column == value for column, value in filters.items() if value is not None]
        if status is not None:
            conditions.append(_has_status(status))
        if search is not None:
            numbers = (calls.c.caller, calls.c.callee) if sees_hidden else _shown_numbers()
            sought = (*numbers, calls.c.room_id)
            conditions.append(or_(*(each.icontains(search, autoescape=True) for each in sought)))
        if since is not None:
            conditions.append(calls.c.started_at >= since)
        if until is not None:
            conditions.append(calls.c.started_at < until)
        first = (number - 1) * per_page
        with self._database.read() as connection:
            total = _count(connection, *conditions)
            items: list[Call] = []
            # A page number from outside may be larger than the integers of a database.
            if first < total:
                newest = select(calls).where(*conditions).order_by(calls.c.seq.desc())
                items = fetch(connection, newest.offset(first).limit(per_page))
        return Page(items=tuple(items), number=number, per_page=per_page, total=total)

    def has_reference(self, ref_digest: str) -> bool:
        """Whether this media reference was ever issued."""
        with self._database.read() as connection:
            found = connection.scalar(select(refs.c.call_id).where(refs.c.digest == ref_digest))
        return found is not None

    def live(self) -> int:
        """How many calls are incoming or answered."""
        with self._database.read() as connection:
            return count_live(connection)

    def in_room(self, room_id: str) -> list[Call]:
        """The calls that are in a room or on their way into it; the oldest ``BATCH``."""
        return self._where(calls.c.room_id == room_id, calls.c.status.in_(LIVE))

    def detached_legs(self) -> dict[str, str | None]:
        """The answered calls that have no socket, with the leg that held each last."""
        query = select(calls.c.id, calls.c.leg_id).where(
            calls.c.status == CallStatus.ANSWERED, calls.c.detached_at.is_not(None)
        )
        with self._database.read() as connection:
            return {row.id: row.leg_id for row in connection.execute(query)}

    def unclaimed(self, now: Millis) -> list[Call]:
        """Waiting calls whose last answer has expired; the oldest ``BATCH``."""
        return self._where(calls.c.status.in_(WAITING), calls.c.expires_at <= now)

    def lost(self, before: Millis) -> list[Call]:
        """Answered calls without a stream since ``before`` or earlier; the oldest ``BATCH``.

        A call whose provider dials on for it needs none. A custom WebSocket that is lost does not
        come back.
        """
        dialling = calls.c.transfer_status.is_not_distinct_from(CallStatus.TRANSFERRING)
        return self._where(
            calls.c.status == CallStatus.ANSWERED,
            or_(
                calls.c.detached_at <= before,
                calls.c.detached_at.is_not(None) & (calls.c.provider == WEBSOCKET),
            ),
            ~dialling,
        )

    def overlong(self, now: Millis, seconds: int) -> list[Call]:
        """Calls that are up for ``seconds``, or as long as they may be; the oldest ``BATCH``."""
        allowed = func.coalesce(calls.c.max_seconds, seconds)
        last = calls.c.answered_at + 1000 * case((allowed < seconds, allowed), else_=seconds)
        return self._where(calls.c.status == CallStatus.ANSWERED, last <= now)

    def _where(self, *conditions: ColumnElement[bool]) -> list[Call]:
        with self._database.read() as connection:
            oldest = select(calls).where(*conditions).order_by(calls.c.seq)
            return fetch(connection, oldest.limit(BATCH))


def _shown_numbers() -> tuple[ColumnElement[str], ColumnElement[str]]:
    """Caller and callee as they may be found by those who do not see hidden numbers."""
    hidden, inbound = calls.c.hides_number, calls.c.direction == Direction.INBOUND
    return (
        case((hidden & inbound, ""), else_=calls.c.caller),
        case((hidden & ~inbound, ""), else_=calls.c.callee),
    )


def _has_status(status: CallStatus) -> ColumnElement[bool]:
    if status.is_live or status.is_end:
        return calls.c.status == status
    return exists().where(steps.c.call_id == calls.c.id, steps.c.status == status)


def count_live(connection: Connection) -> int:
    return connection.execute(HOW_MANY_LIVE).scalar_one()


def _count(connection: Connection, *conditions: ColumnElement[bool]) -> int:
    query = select(func.count()).select_from(calls).where(*conditions)
    return connection.execute(query).scalar_one()
