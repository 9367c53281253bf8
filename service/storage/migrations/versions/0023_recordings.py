"""Recordings and their spools."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"

RowNumber = sa.BigInteger().with_variant(sa.Integer, "sqlite")
Document = sa.JSON(none_as_null=True)

LISTED = "deleted_at IS NULL"


def upgrade() -> None:
    op.create_table(
        "recordings",
        sa.Column("seq", RowNumber, nullable=False),
        sa.Column("id", sa.String, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("room_id", sa.String, nullable=False),
        sa.Column("session_id", sa.String),
        sa.Column("participant_id", sa.String, nullable=False),
        sa.Column("file_format", sa.String, nullable=False),
        sa.Column("status", sa.String, nullable=False),
        sa.Column("options", Document, nullable=False),
        sa.Column("started_at", sa.BigInteger, nullable=False),
        sa.Column("ended_at", sa.BigInteger),
        sa.Column("is_interrupted", sa.Boolean, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("due_at", sa.BigInteger),
        sa.Column("detail", sa.String),
        sa.Column("holder", sa.String),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("file_key", sa.String),
        sa.Column("file_type", sa.String),
        sa.Column("file_size", sa.BigInteger),
        sa.Column("file_millis", sa.BigInteger),
        sa.Column("deleted_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("seq", name="pk_recordings"),
        sa.UniqueConstraint("id", name="uq_recordings_id"),
    )
    running = ("room_id", "kind", "participant_id")
    _index("running", *running, where="status IN ('recording')", unique=True)
    _index("file_due", "due_at", "seq", where="status IN ('waiting')")
    for name in ("kind", "room_id", "session_id", "participant_id"):
        _index(f"{name}_newest", name, "seq", where=LISTED)
    _index("ended_at", "ended_at", where=LISTED)
    op.create_table(
        "spools",
        sa.Column("seq", RowNumber, nullable=False),
        sa.Column("id", sa.String, nullable=False),
        sa.Column("recording_id", sa.String, nullable=False),
        sa.Column("call_id", sa.String, nullable=False),
        sa.Column("participant_id", sa.String, nullable=False),
        sa.Column("node_id", sa.String, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("first", sa.BigInteger, nullable=False),
        sa.Column("end", sa.BigInteger, nullable=False),
        sa.Column("finished_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("seq", name="pk_spools"),
        sa.ForeignKeyConstraint(["recording_id"], ["recordings.id"], name="fk_spools_recording_id"),
        sa.UniqueConstraint("id", name="uq_spools_id"),
    )
    op.create_index("ix_spools_recording_id", "spools", ["recording_id"])
    _index("unfinished", "seq", where="finished_at IS NULL", table="spools")


def _index(
    name: str, *columns: str, where: str, table: str = "recordings", unique: bool = False
) -> None:
    condition = sa.text(where)
    op.create_index(
        f"ix_{table}_{name}",
        table,
        [*columns],
        unique=unique,
        sqlite_where=condition,
        postgresql_where=condition,
    )
