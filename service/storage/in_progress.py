"""The calls that are up or coming, without their ladders: what fits into one line of a list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, select

from service.model import LIVE, CallStatus, Direction
from service.storage.call_queries import count_live
from service.storage.database import Database
from service.storage.tables import calls
from service.times import Millis

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
        calls.c.status,
        calls.c.participant_name,
        calls.c.started_at,
        calls.c.answered_at,
        calls.c.detached_at,
    )
    .where(calls.c.status.in_(LIVE))
    .order_by(calls.c.seq.desc())
    .limit(bindparam("most"))
)


@dataclass(frozen=True, slots=True)
class CallInProgress:
    """As in ``Call``."""

    id: str
    provider: str
    direction: Direction
    caller: str
    callee: str
    room_id: str | None
    status: CallStatus
    participant_name: str
    started_at: Millis
    answered_at: Millis | None
    detached_at: Millis | None


class CallsInProgress:
    def __init__(self, database: Database) -> None:
        self._database = database

    def newest(self, most: int = MOST) -> tuple[Sequence[CallInProgress], int]:
        """Up to ``most`` of them, newest first, and how many there are."""
        with self._database.read() as connection:
            rows = connection.execute(NEWEST, {"most": most}).mappings().all()
            total = len(rows) if len(rows) < most else count_live(connection)
        return [
            CallInProgress(
                **{
                    **row,
                    "direction": Direction(row["direction"]),
                    "status": CallStatus(row["status"]),
                }
            )
            for row in rows
        ], total
