"""Remarks of providers on the ladders of calls."""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, select

from service.clock import Millis
from service.domain.calls import LadderEvent, LadderStep
from service.storage.calls.rows import advance, locked_row
from service.storage.tables import steps

MAX_NOTES = 20
"""Steps that a provider's remarks may add to one call's ladder."""

NOTES = select(steps.c.detail).where(
    steps.c.call_id == bindparam("call_id"), steps.c.event == LadderEvent.PROVIDER
)


def add_note(connection: Connection, call_id: str, detail: str, at: Millis) -> bool:
    """Add a remark to the ladder, once, also to that of a call that is over. Locks the call."""
    call = locked_row(connection, call_id)
    if call is None:
        return False
    known = connection.scalars(NOTES, {"call_id": call_id}).all()
    if detail in known or len(known) >= MAX_NOTES:
        return False
    advance(connection, call, [LadderStep(LadderEvent.PROVIDER, at, call.status, detail)])
    return True
