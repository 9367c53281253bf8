"""Takeover of the live calls whose node is gone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from sqlalchemy import Connection, or_, select, update

from service.clock import Millis
from service.domain.call_transitions import Trigger
from service.domain.calls import CallStatus, LadderEvent, LadderStep
from service.storage.calls import media_references, provider_requests
from service.storage.calls.phases import permits
from service.storage.calls.rows import insert_steps
from service.storage.tables import alive, calls, nodes

LONGEST_MILLIS = 600_000
"""Longer than any timeout of a call: for its socket, a PIN or an answer."""

NO_NODE = or_(calls.c.node_id.is_(None), calls.c.node_id.not_in(select(nodes.c.id)))


@dataclass(frozen=True, slots=True)
class Takeover:
    """``attached`` is the number of calls that have lost their sockets.

    ``silent`` has those whose sockets may still be open, by the node that has them.
    """

    attached: int = 0
    silent: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def take_over(
    connection: Connection, at: Millis, started: str | None = None, silent: Collection[str] = ()
) -> Takeover:
    """Detach the answered calls that no node has.

    Also those of the node that has just ``started``: where processes are forked from one that has
    loaded the application, the last one had its id. Stored times in the future come from another
    clock, and are set to now. Calls of ``silent`` nodes, whose processes were not seen to end, are
    to be redirected by their providers.
    """
    lost = alive() & (NO_NODE if started is None else or_(NO_NODE, calls.c.node_id == started))
    sockets = _sockets(connection, silent) if silent else {}
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
    by_node: defaultdict[str, list[str]] = defaultdict(list)
    for call_id in call_ids:
        if call_id in sockets:
            by_node[sockets[call_id]].append(call_id)
    if by_node:
        provider_requests.add_redirects(
            connection, [each for ids in by_node.values() for each in ids]
        )
    return Takeover(len(call_ids), {node_id: tuple(ids) for node_id, ids in by_node.items()})


def _sockets(connection: Connection, node_ids: Collection[str]) -> dict[str, str]:
    """Return the node of each answered call that is on one of these."""
    found = select(calls.c.id, calls.c.node_id).where(
        alive(), permits(Trigger.PROCESS_RESTARTED), calls.c.node_id.in_(node_ids)
    )
    return {row.id: row.node_id for row in connection.execute(found)}
