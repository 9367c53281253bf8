"""Calls and their steps as rows, and rows as calls."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from operator import or_
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from service.domain import ladders
from service.domain.agents import Assignment
from service.domain.call_state import CallState, state_of
from service.domain.call_transitions import Event
from service.domain.calls import (
    Call,
    CallStatus,
    Direction,
    EndReason,
    LadderEvent,
    LadderStep,
    Participant,
    Transfer,
)
from service.errors import Conflict
from service.storage.tables import calls, steps
from service.storage.tables.calls import passed_bit
from service.storage.webhooks.events import announce_call

KNOWN = "This call is known already"

# Built once, here and where calls begin: building takes several times as long as executing.
CALL = select(calls).where(calls.c.id == bindparam("call_id"))
# FOR NO KEY UPDATE: other transactions can add rows that name the call (steps, presences).
LOCKED = CALL.with_for_update(key_share=True)
CHANGED = update(calls).where(calls.c.id == bindparam("call_id"))
LADDERS = (
    select(steps)
    .where(steps.c.call_id.in_(bindparam("call_ids", expanding=True)))
    .order_by(steps.c.seq)
)


def fetch(connection: Connection, query: Select[Any], **values: Any) -> list[Call]:
    """Return calls with their steps, by a query for rows of ``calls``: two statements in all."""
    rows = connection.execute(query, values).mappings().all()
    ladders = _ladders(connection, [row["id"] for row in rows])
    return [_call(row, ladders[row["id"]]) for row in rows]


def insert_call(connection: Connection, call: Call) -> None:
    """Add a call with its ladder. Raises ``Conflict`` if the connector has a call of its provider
    id.
    """
    try:
        connection.execute(insert(calls), _row(call))
    except IntegrityError:
        raise Conflict(KNOWN) from None
    insert_steps(connection, [call.id], call.steps)
    announce_call(connection, None, call, call.steps)


def is_known(connection: Connection, call: Call) -> bool:
    """Whether the connector has a call of this provider id."""
    query = select(calls.c.id).where(
        calls.c.connector_id == call.connector_id, calls.c.provider_call_id == call.provider_call_id
    )
    return connection.execute(query).first() is not None


def insert_steps(
    connection: Connection, call_ids: Iterable[str], new: Sequence[LadderStep]
) -> None:
    """Add the same steps to each call."""
    ids = list(call_ids)
    rows = [{"call_id": call_id, **_columns_of(step)} for call_id in ids for step in new]
    if rows:
        connection.execute(insert(steps), rows)
    bits = reduce(or_, (passed_bit(step.status) for step in new), 0)
    if bits:
        passed = calls.c.passed.bitwise_or(bits)
        connection.execute(update(calls).where(calls.c.id.in_(ids)).values(passed=passed))


def _columns_of(step: LadderStep) -> dict[str, Any]:
    return {
        "event": step.event,
        "at": step.at,
        "status": step.status,
        "detail": step.detail,
        "markup": step.markup,
    }


def locked(connection: Connection, call_id: str) -> Call | None:
    """Return the call with its row locked until the transaction ends."""
    found = fetch(connection, LOCKED, call_id=call_id)
    return found[0] if found else None


def locked_row(connection: Connection, call_id: str) -> Call | None:
    """Return the locked call without its ladder, for changes that do not depend on the ladder."""
    row = connection.execute(LOCKED, {"call_id": call_id}).mappings().one_or_none()
    return None if row is None else _call(row, ())


def permitted(
    connection: Connection,
    call_id: str,
    event: Event,
    leg_id: str | None = None,
    *,
    load: Callable[[Connection, str], Call | None] = locked,
) -> tuple[Call, CallState] | None:
    """Lock the call, and return it with the state that follows an event.

    ``None`` where there is no such call, the event is not allowed in its state, or ``leg_id`` is
    given and does not hold it.
    """
    call = load(connection, call_id)
    if call is None or leg_id not in (None, call.leg_id):
        return None
    state = state_of(call).after(event)
    return None if state is None else (call, state)


def transfer_in(call: Call, state: CallState) -> Transfer | None:
    """Return the call's transfer with the word of a state."""
    if call.transfer is None or state.transfer is None:
        return None
    return replace(call.transfer, status=state.transfer)


def advance(connection: Connection, call: Call, new: Sequence[LadderStep], **changes: Any) -> Call:
    """Write changes and steps, announce them, and return the changed call."""
    if changes:
        connection.execute(CHANGED, {"call_id": call.id, **_columns(changes)})
    insert_steps(connection, [call.id], new)
    ladder = (*call.steps, *new)
    if len(ladder) > ladders.MOST:
        ladder = _shortened(connection, call.id, ladder)
    now = replace(call, steps=ladder, **changes)
    announce_call(connection, call.status, now, new)
    return now


def _shortened(
    connection: Connection, call_id: str, ladder: Sequence[LadderStep]
) -> tuple[LadderStep, ...]:
    """Replace the middle of a ladder by one step that stands for it."""
    numbers = connection.scalars(
        select(steps.c.seq).where(steps.c.call_id == call_id).order_by(steps.c.seq)
    ).all()
    instead = ladders.omitted(ladder[ladders.FIRST : -ladders.NEWEST])
    stays, *lost = numbers[ladders.FIRST : -ladders.NEWEST]
    connection.execute(delete(steps).where(steps.c.seq.in_(lost)))
    connection.execute(update(steps).where(steps.c.seq == stays).values(**_columns_of(instead)))
    return (*ladder[: ladders.FIRST], instead, *ladder[-ladders.NEWEST :])


def _columns(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of a call's fields. Most have the name of their field."""
    columns = dict(changes)
    participant, transfer = columns.pop("participant", None), columns.pop("transfer", None)
    if participant is not None:
        columns |= {"participant_id": participant.id, "participant_name": participant.name}
        columns["participant_metadata"] = dict(participant.metadata)
    if transfer is not None:
        columns |= {"transfer_number": transfer.number, "transfer_status": transfer.status}
    return columns


def _row(call: Call) -> dict[str, Any]:
    return {
        "id": call.id,
        "provider": call.provider,
        "provider_call_id": call.provider_call_id,
        "connector_id": call.connector_id,
        "room_id": call.room_id,
        "rule_id": call.rule_id,
        "session_id": call.session_id,
        "caller": call.caller,
        "callee": call.callee,
        "status": call.status,
        "participant_id": call.participant.id,
        "participant_name": call.participant.name,
        "participant_metadata": dict(call.participant.metadata),
        "region": call.region,
        "started_at": call.started_at,
        "expires_at": call.expires_at,
        "answered_at": call.answered_at,
        "detached_at": call.detached_at,
        "ended_at": call.ended_at,
        "end_reason": call.end_reason,
        "leg_id": call.leg_id,
        "attempts": call.attempts,
        "pin_tries": call.pin_tries,
        "hides_number": call.hides_number,
        "dtmf": call.dtmf,
        "stats": None if call.stats is None else dict(call.stats),
        "direction": call.direction,
        "metadata": dict(call.metadata),
        "max_seconds": call.max_seconds,
        "key_digest": call.key_digest,
        "node_id": call.node_id,
        **_agent_columns(call.agent),
    }


def _agent_columns(agent: Assignment | None) -> dict[str, Any]:
    if agent is None:
        return {}
    return {
        "agent_id": agent.agent_id,
        "agent_base": agent.base,
        "agent_metadata": dict(agent.metadata),
    }


def _agent(row: RowMapping) -> Assignment | None:
    if row["agent_id"] is None:
        return None
    return Assignment(row["agent_id"], row["agent_base"], row["agent_metadata"] or {})


def _transfer(row: RowMapping) -> Transfer | None:
    if row["transfer_number"] is None:
        return None
    return Transfer(row["transfer_number"], CallStatus(row["transfer_status"]))


def _ladders(connection: Connection, call_ids: Sequence[str]) -> defaultdict[str, list[LadderStep]]:
    ladders: defaultdict[str, list[LadderStep]] = defaultdict(list)
    if call_ids:
        for row in connection.execute(LADDERS, {"call_ids": call_ids}).mappings():
            ladders[row["call_id"]].append(
                LadderStep(
                    event=LadderEvent(row["event"]),
                    at=row["at"],
                    status=CallStatus(row["status"]),
                    detail=row["detail"],
                    markup=row["markup"],
                )
            )
    return ladders


def _call(row: RowMapping, ladder: Iterable[LadderStep]) -> Call:
    return Call(
        id=row["id"],
        provider=row["provider"],
        provider_call_id=row["provider_call_id"],
        connector_id=row["connector_id"],
        room_id=row["room_id"],
        rule_id=row["rule_id"],
        session_id=row["session_id"],
        caller=row["caller"],
        callee=row["callee"],
        status=CallStatus(row["status"]),
        participant=Participant(
            id=row["participant_id"],
            name=row["participant_name"],
            metadata=row["participant_metadata"],
        ),
        region=row["region"],
        started_at=row["started_at"],
        expires_at=row["expires_at"],
        answered_at=row["answered_at"],
        detached_at=row["detached_at"],
        ended_at=row["ended_at"],
        end_reason=None if row["end_reason"] is None else EndReason(row["end_reason"]),
        leg_id=row["leg_id"],
        attempts=row["attempts"],
        pin_tries=row["pin_tries"],
        hides_number=row["hides_number"],
        dtmf=row["dtmf"],
        stats=row["stats"],
        direction=Direction(row["direction"]),
        metadata=row["metadata"] or {},
        max_seconds=row["max_seconds"],
        transfer=_transfer(row),
        agent=_agent(row),
        key_digest=row["key_digest"],
        node_id=row["node_id"],
        steps=tuple(ladder),
    )
