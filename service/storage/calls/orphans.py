"""Takeover of the live calls of an earlier process."""

from __future__ import annotations

from sqlalchemy import Connection, update

from service.clock import Millis
from service.domain.call_transitions import Trigger
from service.domain.calls import CallStatus, LadderEvent, LadderStep
from service.storage.calls import media_references
from service.storage.calls.phases import permits
from service.storage.calls.rows import insert_steps
from service.storage.tables import alive, calls

LONGEST_MILLIS = 600_000
"""Longer than any timeout of a call: for its socket, a PIN or an answer."""


def take_over(connection: Connection, at: Millis) -> int:
    """Detach all answered calls, and return how many were attached.

    Stored times in the future come from another clock, and are set to now.
    """
    media_references.settle_answered(connection)
    for column, latest in (
        (calls.c.answered_at, at),
        (calls.c.detached_at, at),
        (calls.c.expires_at, at + LONGEST_MILLIS),
    ):
        connection.execute(update(calls).where(alive(), column > latest).values({column: latest}))
    rows = connection.execute(
        update(calls)
        .where(alive(), permits(Trigger.PROCESS_RESTARTED))
        .values(detached_at=at)
        .returning(calls.c.id)
    )
    call_ids = rows.scalars().all()
    lost = LadderStep(LadderEvent.SOCKET_LOST, at, CallStatus.ANSWERED, "the process restarted")
    insert_steps(connection, call_ids, [lost])
    return len(call_ids)
