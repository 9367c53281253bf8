"""References: the single-use secrets in media URLs, stored as digests.

The functions work inside the caller's transaction.
"""

from __future__ import annotations

from sqlalchemy import Connection, insert, select, update

from service.errors import Gone, NotFound, ServiceError
from service.model import LIVE
from service.storage.tables import calls, refs
from service.times import Millis

OVER = "The call of this media reference is over"


class Used(Gone):
    """The reference has let somebody in already; ``call_id`` is its call's."""

    def __init__(self, call_id: str) -> None:
        super().__init__("This media reference was used already")
        self.call_id = call_id


def issue(connection: Connection, ref_digest: str, call_id: str, expires_at: Millis) -> None:
    connection.execute(
        insert(refs).values(digest=ref_digest, call_id=call_id, expires_at=expires_at)
    )


def claim(
    connection: Connection, ref_digest: str, provider: str, at: Millis, *, again: bool
) -> str:
    """Use the reference and return its call's id: one conditional UPDATE, so one caller wins.

    ``again`` is for a reference that was used before; its expiry no longer matters then. Raises
    ``NotFound``, ``Used`` or ``Gone``.
    """
    usable = (
        [refs.c.claimed_at.is_not(None)]
        if again
        else [refs.c.claimed_at.is_(None), refs.c.expires_at > at]
    )
    waiting = select(calls.c.id).where(calls.c.provider == provider, calls.c.status.in_(LIVE))
    call_id: str | None = connection.scalar(
        update(refs)
        .where(refs.c.digest == ref_digest, *usable, refs.c.call_id.in_(waiting))
        .values(claimed_at=at)
        .returning(refs.c.call_id)
    )
    if call_id is None:
        raise _refusal(connection, ref_digest, provider, at, again=again)
    return call_id


def _refusal(
    connection: Connection, ref_digest: str, provider: str, at: Millis, *, again: bool
) -> ServiceError:
    row = connection.execute(
        select(refs.c.call_id, refs.c.claimed_at, refs.c.expires_at)
        .join(calls, calls.c.id == refs.c.call_id)
        .where(refs.c.digest == ref_digest, calls.c.provider == provider)
    ).one_or_none()
    if row is None:
        return NotFound("Unknown media reference")
    if again and row.claimed_at is None:
        return Gone("This media reference has not been used yet")
    if not again and row.claimed_at is not None:
        return Used(row.call_id)
    if not again and row.expires_at <= at:
        return Gone("This media reference has expired")
    return Gone(OVER)
