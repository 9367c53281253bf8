"""Phases of a call as conditions of SQL.

They guard the statements that change calls without loading them.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, and_, false, or_

from service.domain.call_transitions import TABLE, Phase, Trigger
from service.storage.tables import calls


def in_phase(phase: Phase) -> ColumnElement[bool]:
    status: ColumnElement[bool] = calls.c.status == phase.status
    match phase:
        case Phase.INCOMING:
            return and_(status, calls.c.pin_tries == 0)
        case Phase.ASKED:
            return and_(status, calls.c.pin_tries > 0)
        case Phase.ATTACHED:
            return and_(status, calls.c.detached_at.is_(None))
        case Phase.DETACHED:
            return and_(status, calls.c.detached_at.is_not(None))
        case _:
            return status


def permits(trigger: Trigger) -> ColumnElement[bool]:
    """Whether the table allows an event of a stored call.

    Raises ``ValueError`` for an event that a switch of rooms or a transfer may forbid: whether it
    is allowed takes the call's ladder.
    """
    row = TABLE[trigger]
    if row.switch is not None or row.transfer is not None:
        raise ValueError(f"{trigger} depends on more than the phase")
    # An event of new calls only has no phase here: then no stored call fits.
    return or_(false(), *(in_phase(phase) for phase in row.phase if phase is not Phase.NEW))
