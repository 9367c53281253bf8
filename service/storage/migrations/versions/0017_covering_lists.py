"""Indexes by which lists with several filters read no rows."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"

PHONE = "provider != 'websocket'"

CARRIED = ("connector_id", "room_id", "rule_id", "direction", "status", "passed")

# In the order of their bits.
PASSING = (
    "transfer-initiated",
    "transfer-accepted",
    "transferring",
    "transfer-ringing",
    "transferred",
    "transfer-failed",
    "switch-room-initiated",
    "switch-room-completed",
    "switch-room-failed",
)

CALLS = sa.table("calls", sa.column("id"), sa.column("passed"))
STEPS = sa.table("steps", sa.column("call_id"), sa.column("status"))


def upgrade() -> None:
    op.add_column("calls", sa.Column("passed", sa.Integer, nullable=False, server_default="0"))
    for column in ("session_id", *CARRIED[:-1]):
        op.drop_index(f"ix_calls_{column}_newest", "calls")
    bits = [
        sa.func.max(sa.case((STEPS.c.status == status, 1 << number), else_=0))
        for number, status in enumerate(PASSING)
    ]
    passed = sa.select(sum(bits[1:], bits[0])).where(STEPS.c.call_id == CALLS.c.id)
    those = sa.select(STEPS.c.call_id).where(STEPS.c.status.in_(PASSING))
    op.execute(
        sa.update(CALLS).where(CALLS.c.id.in_(those)).values(passed=passed.scalar_subquery())
    )
    op.drop_index("ix_steps_passed", "steps")
    for column in ("session_id", *CARRIED[:-1]):
        carried = [each for each in CARRIED if each != column]
        _index(column, column, *carried, where=PHONE)
    has_passed = sa.text("sign(passed)")
    _index("passed", has_passed, *CARRIED, where=f"{PHONE} AND passed != 0")


def _index(name: str, first: str | sa.TextClause, *carried: str, where: str) -> None:
    condition = sa.text(where)
    op.create_index(
        f"ix_calls_{name}_newest",
        "calls",
        [first, "started_at", "seq", *carried, "provider"],
        sqlite_where=condition,
        postgresql_where=condition,
    )
