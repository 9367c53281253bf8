"""Live calls without their ladders, for lists with one line for each call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import RowMapping, bindparam, func, select

from service.clock import Millis
from service.domain.calls import CallStatus, Direction
from service.storage.database import Database
from service.storage.tables import ONGOING, PRESENT, alive, calls, sessions, stays

MOST = 200
"""Calls that are listed; of more, the newest."""

NEWEST = (
    select(
        calls.c.id,
        calls.c.provider,
        calls.c.direction,
        calls.c.caller,
        calls.c.callee,
        calls.c.room_id,
        calls.c.node_id,
        calls.c.status,
        calls.c.participant_id,
        calls.c.participant_name,
        calls.c.started_at,
        calls.c.answered_at,
        calls.c.detached_at,
        stays.c.joined_at,
        func.count().over().label("total"),
    )
    .outerjoin_from(calls, stays, (stays.c.call_id == calls.c.id) & PRESENT)
    .where(alive())
    .order_by(calls.c.seq.desc())
    .limit(bindparam("most"))
)
NEWEST_IN_ROOM = NEWEST.where(calls.c.room_id == bindparam("room_id"))

BY_ROOM = (
    select(sessions.c.room_id, func.count().label("present"))
    .join(stays, stays.c.session_id == sessions.c.id)
    .where(ONGOING, PRESENT)
    .group_by(sessions.c.room_id)
)


BY_NODE = (
    select(calls.c.node_id, func.count().label("live")).where(alive()).group_by(calls.c.node_id)
)


@dataclass(frozen=True, slots=True)
class CallInProgress:
    """Fields as in ``Call``. ``joined_at`` is the time of its join, if it is in a room."""

    id: str
    provider: str
    direction: Direction
    caller: str
    callee: str
    room_id: str | None
    node_id: str | None
    status: CallStatus
    participant_id: str
    participant_name: str
    started_at: Millis
    answered_at: Millis | None
    detached_at: Millis | None
    joined_at: Millis | None


class CallsInProgress:
    def __init__(self, database: Database) -> None:
        self._database = database

    def newest(
        self, room_id: str | None = None, most: int = MOST
    ) -> tuple[Sequence[CallInProgress], int]:
        """Return the newest ``most`` live calls, of all rooms or of one, and their total."""
        query = NEWEST if room_id is None else NEWEST_IN_ROOM
        with self._database.read() as connection:
            rows = connection.execute(query, {"most": most, "room_id": room_id}).mappings().all()
        return [_call(row) for row in rows], rows[0]["total"] if rows else 0

    def by_room(self) -> dict[str, int]:
        """Return the number of calls in each room that has any, custom WebSockets included."""
        with self._database.read() as connection:
            return {row.room_id: row.present for row in connection.execute(BY_ROOM)}

    def by_node(self) -> dict[str | None, int]:
        """Return the number of live calls of each node that has any; ``None``: of no node."""
        with self._database.read() as connection:
            return {row.node_id: row.live for row in connection.execute(BY_NODE)}


def _call(row: RowMapping) -> CallInProgress:
    columns = {name: value for name, value in row.items() if name != "total"}
    columns |= {"direction": Direction(row["direction"]), "status": CallStatus(row["status"])}
    return CallInProgress(**columns)
