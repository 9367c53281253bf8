"""Dispatches as rows, and what becomes of them in the transactions that change calls.

A call is answered and its agent is sent for; the call of an agent's ticket is answered and the
agent has joined, or ends and the agent has left. So a dispatch is there exactly where its call is,
whatever becomes of the process. Whoever comes in by ``answered`` or ``ended`` has locked the call.
"""

from __future__ import annotations

from sqlalchemy import Connection, RowMapping, Update, insert, literal, select, update

from service.clock import Millis
from service.domain import ids
from service.domain.agents import Dispatch, DispatchStatus
from service.domain.calls import WEBSOCKET, Call, CallStatus, LadderEvent, LadderStep
from service.domain.webhook_events import RoomEvent, agent_document
from service.storage.change_signals import ChangeSignal, notify_after_commit
from service.storage.tables import alive, calls, dispatches, steps
from service.storage.webhooks.events import announce_room

COMING = (DispatchStatus.PENDING, DispatchStatus.SENT)
UNDER_WAY = (*COMING, DispatchStatus.JOINED)


def answered(connection: Connection, call: Call, session_id: str, at: Millis) -> list[LadderStep]:
    """A call is in its room: its agent is sent for, and has joined where the call is its own.

    Returns the rung of the call's own ladder. An agent that is under way already, or there, is not
    sent for again: a call that has lost its socket comes back to the agent that it had.
    """
    if call.provider == WEBSOCKET:
        _join(connection, call, session_id, at)
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
            id=ids.new_dispatch_id(),
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
        session_id,
    )
    detail = f"agent {agent.agent_id} was sent for"
    return [LadderStep(LadderEvent.AGENT, at, CallStatus.ANSWERED, detail)]


def ended(connection: Connection, ticket: Call, at: Millis) -> None:
    """A custom WebSocket's call is over: an agent that had joined by it has left, and one that had
    not has missed it.
    """
    if ticket.provider != WEBSOCKET:
        return
    left = changed(
        connection,
        update(dispatches)
        .where(dispatches.c.ticket_id == ticket.id, dispatches.c.status == DispatchStatus.JOINED)
        .values(status=DispatchStatus.LEFT),
    )
    if left is not None:
        climb(connection, left, at, "left")
        who = ticket.participant.id
        tell(connection, RoomEvent.AGENT_STOPPED, left, ticket.session_id, at, participantId=who)
        return
    missed = connection.execute(
        update(dispatches)
        .where(dispatches.c.ticket_id == ticket.id, dispatches.c.status == DispatchStatus.SENT)
        .values(due_at=at)
    )
    if missed.rowcount:
        notify_after_commit(connection, ChangeSignal.DISPATCHES)


def begin(connection: Connection, dispatch: Dispatch, session_id: str | None) -> None:
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
    notify_after_commit(connection, ChangeSignal.DISPATCHES)
    tell(connection, RoomEvent.AGENT_STARTING, dispatch, session_id, dispatch.created_at)


def tell(
    connection: Connection,
    event: RoomEvent,
    dispatch: Dispatch,
    session_id: str | None,
    at: Millis,
    **more: str | None,
) -> None:
    """Tell the room's webhook how the agent fares."""
    document = agent_document(dispatch, session_id, **more)
    announce_room(connection, dispatch.room_id, at, [(event, document)])


def _join(connection: Connection, ticket: Call, session_id: str, at: Millis) -> None:
    joined = changed(
        connection,
        update(dispatches)
        .where(dispatches.c.ticket_id == ticket.id, dispatches.c.status.in_(COMING))
        .values(status=DispatchStatus.JOINED, due_at=None, detail=None),
    )
    if joined is not None:
        climb(connection, joined, at, "joined")
        who = ticket.participant.id
        tell(connection, RoomEvent.AGENT_STARTED, joined, session_id, at, participantId=who)


def climb(connection: Connection, dispatch: Dispatch, at: Millis, what: str) -> None:
    """One more rung for the call that the agent was sent for, unless it is over."""
    detail = f"agent {dispatch.agent_id} {what}"
    rung = {
        steps.c.call_id: calls.c.id,
        steps.c.event: literal(LadderEvent.AGENT.value),
        steps.c.at: literal(at),
        steps.c.status: calls.c.status,
        steps.c.detail: literal(detail),
    }
    own = select(*rung.values()).where(calls.c.id == dispatch.call_id, alive())
    connection.execute(insert(steps).from_select([*rung], own))


def one(dispatch_id: str) -> Update:
    return update(dispatches).where(dispatches.c.id == dispatch_id)


def changed(connection: Connection, change: Update) -> Dispatch | None:
    """The dispatch as it is now; ``None`` where none was changed."""
    row = connection.execute(change.returning(*dispatches.c)).mappings().one_or_none()
    return None if row is None else dispatch_of(row)


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
