"""References: the single-use secrets in media URLs, stored as digests.

A reference has the leg that it let in until that leg has started or is gone. Until then it lets in
no other leg. The functions work inside the caller's transaction, which locks references before
calls to avoid deadlocks.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, bindparam, exists, insert, select, update

from service.clock import Millis
from service.domain.calls import Call, CallStatus, LadderEvent
from service.errors import Gone, NotFound, ServiceError
from service.storage.tables import calls, refs

OVER = "The call of this media reference is over"

SOCKET_EVENTS = (LadderEvent.SOCKET, LadderEvent.SOCKET_LOST)

LET_IN = (
    update(refs)
    .where(
        refs.c.digest == bindparam("ref_digest"),
        exists()
        .where(calls.c.id == refs.c.call_id, calls.c.provider == bindparam("provider"))
        .correlate(refs),
    )
    .values(claimed_at=bindparam("at"), leg_id=bindparam("leg"))
    .returning(refs.c.call_id)
)
FIRST = LET_IN.where(refs.c.claimed_at.is_(None), refs.c.expires_at > bindparam("at"))
AGAIN = LET_IN.where(refs.c.claimed_at.is_not(None), refs.c.leg_id.is_(None))
SETTLED = (
    update(refs)
    .where(refs.c.call_id == bindparam("call"), refs.c.leg_id == bindparam("leg"))
    .values(leg_id=None)
)


class Used(Gone):
    """The reference was used already; ``call_id`` is the id of its call."""

    def __init__(self, call_id: str) -> None:
        super().__init__("This media reference was used already")
        self.call_id = call_id


def issue(connection: Connection, ref_digest: str, call_id: str, expires_at: Millis) -> None:
    connection.execute(
        insert(refs), {"digest": ref_digest, "call_id": call_id, "expires_at": expires_at}
    )


def claim(
    connection: Connection, ref_digest: str, provider: str, leg_id: str, at: Millis, *, again: bool
) -> str:
    """Let the leg in and return the call's id. One conditional UPDATE, so that one caller wins.

    ``again`` is for a reference that was used by a leg which is not about to start; it may have
    expired. Raises ``NotFound``, ``Used`` or ``Gone``.
    """
    call_id: str | None = connection.scalar(
        AGAIN if again else FIRST,
        {"ref_digest": ref_digest, "provider": provider, "leg": leg_id, "at": at},
    )
    if call_id is None:
        raise _refusal(connection, ref_digest, provider, at, again=again)
    return call_id


def settle(connection: Connection, call_id: str, leg_id: str) -> bool:
    """Note that the leg has started or is gone. Returns false if it was not about to start."""
    return connection.execute(SETTLED, {"call": call_id, "leg": leg_id}).rowcount > 0


def settle_answered(connection: Connection, left: ColumnElement[bool]) -> None:
    """Settle the legs of answered calls that are ``left``: their process is gone."""
    answered = select(calls.c.id).where(left, calls.c.status == CallStatus.ANSWERED)
    connection.execute(
        update(refs)
        .where(refs.c.leg_id.is_not(None), refs.c.call_id.in_(answered))
        .values(leg_id=None)
    )


def _refusal(
    connection: Connection, ref_digest: str, provider: str, at: Millis, *, again: bool
) -> ServiceError:
    row = connection.execute(
        select(refs.c.call_id, refs.c.claimed_at, refs.c.expires_at, calls.c.status)
        .join(calls, calls.c.id == refs.c.call_id)
        .where(refs.c.digest == ref_digest, calls.c.provider == provider)
    ).one_or_none()
    if row is None:
        return NotFound("Unknown media reference")
    if again and row.claimed_at is None:
        return Gone("This media reference has not been used yet")
    if row.claimed_at is not None and (not again or CallStatus(row.status).is_live):
        return Used(row.call_id)
    if not again and row.expires_at <= at:
        return Gone("This media reference has expired")
    return Gone(OVER)


def last_socket_event(call: Call) -> LadderEvent | None:
    """Return the last step of the ladder that is about a socket."""
    return next((step.event for step in reversed(call.steps) if step.event in SOCKET_EVENTS), None)
