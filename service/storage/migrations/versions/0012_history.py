"""Indexes that keep calls and lists fast with a long history."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

ALIVE = "status IN ('initiated', 'ringing', 'incoming', 'verified', 'answered')"
PHONE = "provider != 'websocket'"
PASSED = (
    "status IN ('transfer-initiated', 'transfer-accepted', 'transferring', 'transfer-ringing', "
    "'transferred', 'transfer-failed', 'switch-room-initiated', 'switch-room-completed', "
    "'switch-room-failed')"
)

REPLACED = {
    "calls": ("room_id", "session_id", "status"),
    "sessions": ("room_id", "ended_at"),
    "stays": ("session_id",),
}

LISTED = ("connector_id", "room_id", "rule_id", "session_id", "status", "direction")


def upgrade() -> None:
    for table, columns in REPLACED.items():
        for column in columns:
            op.drop_index(f"ix_{table}_{column}", table)
    newest = ("started_at", "seq")
    _index("ix_calls_alive", "calls", "room_id", where=ALIVE)
    _index("ix_calls_newest", "calls", *newest, where=PHONE)
    for column in LISTED:
        _index(f"ix_calls_{column}_newest", "calls", column, *newest, where=PHONE)
    for column in ("caller", "callee"):
        op.create_index(
            f"ix_calls_{column}_newest",
            "calls",
            [column, *newest],
            sqlite_where=sa.text(PHONE),
            postgresql_where=sa.text(PHONE),
            postgresql_ops={column: "text_pattern_ops"},
        )
        end = sa.text(f"substr({column}, length({column}) - 3)")
        _index(f"ix_calls_{column}_end_newest", "calls", end, *newest, where=PHONE)
    _index("ix_steps_passed", "steps", "status", "seq", "call_id", "at", where=PASSED)
    over = "ended_at IS NOT NULL"
    _index("ix_sessions_ongoing", "sessions", "room_id", "seq", where="ended_at IS NULL")
    _index("ix_sessions_newest", "sessions", *newest, where=over)
    _index("ix_sessions_room_id_newest", "sessions", "room_id", *newest, where=over)
    op.create_index("ix_stays_session_id_left_at", "stays", ["session_id", "left_at"])
    _index("ix_stays_present", "stays", "session_id", where="left_at IS NULL")
    _index("ix_stays_present_call", "stays", "call_id", where="left_at IS NULL")
    op.create_index("ix_refs_call_id", "refs", ["call_id"])
    op.create_index("ix_refs_expires_at", "refs", ["expires_at"])
    op.create_index("ix_deliveries_created_at", "deliveries", ["created_at"])


def _index(name: str, table: str, *columns: str | sa.TextClause, where: str) -> None:
    condition = sa.text(where)
    op.create_index(name, table, list(columns), sqlite_where=condition, postgresql_where=condition)
