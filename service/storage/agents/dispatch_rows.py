"""Dispatches as rows, and their changes in the transactions that change calls.

An answered call dispatches its agent. The answer to the call of an agent's ticket means that the
agent has joined, and its end that the agent has left. Both are one transaction, so that a dispatch
agrees with its call after any crash. Callers of ``answered`` and ``ended`` have locked the call.
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
    """Dispatch the agent of an answered call; where the call is an agent's own, note that it
    joined.

    Returns the steps for the call's own ladder. An agent that is under way or present is not
    dispatched again: a call that has lost its socket comes back to it.
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
    """Note that the agent of a custom WebSocket's call that ended has left, or did not join."""
    if ticket.provider != WEBSOCKET:
        return
    left = changed(
        connection,
        update(dispatches)
        .where(dispatches.c.ticket_id == ticket.id, dispatches.c.status == DispatchStatus.JOINED)
        .values(status=DispatchStatus.LEFT),
    )
    if left is not None:
        add_step(connection, left, at, "left")
        who = ticket.participant.id
        announce(
            connection, RoomEvent.AGENT_STOPPED, left, ticket.session_id, at, participantId=who
        )
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
    announce(connection, RoomEvent.AGENT_STARTING, dispatch, session_id, dispatch.created_at)


def announce(
    connection: Connection,
    event: RoomEvent,
    dispatch: Dispatch,
    session_id: str | None,
    at: Millis,
    **more: str | None,
) -> None:
    """Announce an event of the agent to the room's webhook."""
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
        add_step(connection, joined, at, "joined")
        who = ticket.participant.id
        announce(connection, RoomEvent.AGENT_STARTED, joined, session_id, at, participantId=who)


def add_step(connection: Connection, dispatch: Dispatch, at: Millis, what: str) -> None:
    """Add a step to the ladder of the live call that the agent was dispatched for."""
    detail = f"agent {dispatch.agent_id} {what}"
    columns = {
        steps.c.call_id: calls.c.id,
        steps.c.event: literal(LadderEvent.AGENT.value),
        steps.c.at: literal(at),
        steps.c.status: calls.c.status,
        steps.c.detail: literal(detail),
    }
    own = select(*columns.values()).where(calls.c.id == dispatch.call_id, alive())
    connection.execute(insert(steps).from_select([*columns], own))


def one(dispatch_id: str) -> Update:
    return update(dispatches).where(dispatches.c.id == dispatch_id)


def changed(connection: Connection, change: Update) -> Dispatch | None:
    """Return the changed dispatch; ``None`` if none was changed."""
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
