"""Takeover of the live calls whose node is gone."""

from __future__ import annotations

from sqlalchemy import Connection, or_, select, update

from service.clock import Millis
from service.domain.call_transitions import Trigger
from service.domain.calls import CallStatus, LadderEvent, LadderStep
from service.storage.calls import media_references
from service.storage.calls.phases import permits
from service.storage.calls.rows import insert_steps
from service.storage.tables import alive, calls, nodes

LONGEST_MILLIS = 600_000
"""Longer than any timeout of a call: for its socket, a PIN or an answer."""

NO_NODE = or_(calls.c.node_id.is_(None), calls.c.node_id.not_in(select(nodes.c.id)))


def take_over(connection: Connection, at: Millis, started: str | None = None) -> int:
    """Detach the answered calls that no node has, and return how many were attached.

    Also those of the node that has just ``started``: where processes are forked from one that has
    loaded the application, the last one had its id. Stored times in the future come from another
    clock, and are set to now.
    """
    lost = alive() & (NO_NODE if started is None else or_(NO_NODE, calls.c.node_id == started))
    media_references.settle_answered(connection, lost)
    for column, latest in (
        (calls.c.answered_at, at),
        (calls.c.detached_at, at),
        (calls.c.expires_at, at + LONGEST_MILLIS),
    ):
        connection.execute(update(calls).where(lost, column > latest).values({column: latest}))
    rows = connection.execute(
        update(calls)
        .where(lost, permits(Trigger.PROCESS_RESTARTED))
        .values(detached_at=at, node_id=None)
        .returning(calls.c.id)
    )
    call_ids = rows.scalars().all()
    step = LadderStep(LadderEvent.SOCKET_LOST, at, CallStatus.ANSWERED, "the process restarted")
    insert_steps(connection, call_ids, [step])
    without = alive() & NO_NODE & calls.c.node_id.is_not(None)
    connection.execute(update(calls).where(without).values(node_id=None))
    return len(call_ids)
