"""Dispatches as rows, and what becomes of them in the transactions that change calls.

A call is answered and its agent is sent for; the call of an agent's ticket is answered and the
agent has joined, or ends and the agent has left. So a dispatch is there exactly where its call is,
whatever becomes of the process. Whoever comes in by ``answered`` or ``ended`` has locked the call.
"""

from __future__ import annotations

from sqlalchemy import Connection, RowMapping, Update, insert, literal, select, update

from service import tokens
from service.agents import Dispatch, DispatchStatus
from service.model import LIVE, WEBSOCKET, Call, CallStatus, LadderEvent, Step
from service.storage.database import Bell, ring
from service.storage.tables import calls, dispatches, steps
from service.times import Millis

COMING = (DispatchStatus.PENDING, DispatchStatus.SENT)
UNDER_WAY = (*COMING, DispatchStatus.JOINED)


def answered(connection: Connection, call: Call, at: Millis) -> list[Step]:
    """A call is in its room: its agent is sent for, and has joined where the call is its own.

    Returns the rung of the call's own ladder. An agent that is under way already, or there, is not
    sent for again: a call that has lost its socket comes back to the agent that it had.
    """
    if call.provider == WEBSOCKET:
        _join(connection, call, at)
    agent = call.agent
    if agent is None:
        return []
    under_way = select(dispatches.c.seq).where(
        dispatches.c.call_id == call.id, dispatches.c.status.in_(UNDER_WAY)
    )
    if connection.execute(under_way.limit(1)).first() is not None:
        return []
    begin(
        connection,
        Dispatch(
            id=tokens.new_dispatch_id(),
            agent_id=agent.agent_id,
            call_id=call.id,
            room_id=call.room_id or "",
            base=agent.base,
            metadata=agent.metadata,
            status=DispatchStatus.PENDING,
            attempts=0,
            due_at=at,
            created_at=at,
        ),
    )
    detail = f"agent {agent.agent_id} was sent for"
    return [Step(LadderEvent.AGENT, at, CallStatus.ANSWERED, detail)]


def ended(connection: Connection, ticket: Call, at: Millis) -> None:
    """A custom WebSocket's call is over: an agent that had joined by it has left, and one that had
    not has missed it.
    """
    if ticket.provider != WEBSOCKET:
        return
    row = changed(
        connection,
        update(dispatches)
        .where(dispatches.c.ticket_id == ticket.id, dispatches.c.status == DispatchStatus.JOINED)
        .values(status=DispatchStatus.LEFT),
    )
    if row is not None:
        climb(connection, row, at, "left")
        return
    missed = connection.execute(
        update(dispatches)
        .where(dispatches.c.ticket_id == ticket.id, dispatches.c.status == DispatchStatus.SENT)
        .values(due_at=at)
    )
    if missed.rowcount:
        ring(connection, Bell.DISPATCHES)


def begin(connection: Connection, dispatch: Dispatch) -> None:
    connection.execute(
        insert(dispatches).values(
            id=dispatch.id,
            agent_id=dispatch.agent_id,
            call_id=dispatch.call_id,
            room_id=dispatch.room_id,
            base=dispatch.base,
            metadata=dict(dispatch.metadata),
            status=dispatch.status,
            attempts=dispatch.attempts,
            due_at=dispatch.due_at,
            ticket_id=dispatch.ticket_id,
            detail=dispatch.detail,
            created_at=dispatch.created_at,
        )
    )
    ring(connection, Bell.DISPATCHES)


def _join(connection: Connection, ticket: Call, at: Millis) -> None:
    row = changed(
        connection,
        update(dispatches)
        .where(dispatches.c.ticket_id == ticket.id, dispatches.c.status.in_(COMING))
        .values(status=DispatchStatus.JOINED, due_at=None, detail=None),
    )
    if row is not None:
        climb(connection, row, at, "joined")


def climb(connection: Connection, row: RowMapping, at: Millis, what: str) -> None:
    """One more rung for the call that the agent was sent for, unless it is over."""
    detail = f"agent {row['agent_id']} {what}"
    rung = {
        steps.c.call_id: calls.c.id,
        steps.c.event: literal(LadderEvent.AGENT.value),
        steps.c.at: literal(at),
        steps.c.status: calls.c.status,
        steps.c.detail: literal(detail),
    }
    own = select(*rung.values()).where(calls.c.id == row["call_id"], calls.c.status.in_(LIVE))
    connection.execute(insert(steps).from_select([*rung], own))


def one(dispatch_id: str) -> Update:
    return update(dispatches).where(dispatches.c.id == dispatch_id)


def changed(connection: Connection, change: Update) -> RowMapping | None:
    """The row as it is now; ``None`` where none was changed."""
    return connection.execute(change.returning(*dispatches.c)).mappings().one_or_none()


def dispatch_of(row: RowMapping) -> Dispatch:
    return Dispatch(
        id=row["id"],
        agent_id=row["agent_id"],
        call_id=row["call_id"],
        room_id=row["room_id"],
        base=row["base"],
        metadata=row["metadata"],
        status=DispatchStatus(row["status"]),
        attempts=row["attempts"],
        due_at=row["due_at"],
        created_at=row["created_at"],
        ticket_id=row["ticket_id"],
        detail=row["detail"],
    )
