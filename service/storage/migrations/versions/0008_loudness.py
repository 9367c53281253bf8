"""Loudness of the legs of calls."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_table(
        "loudness",
        sa.Column("leg_id", sa.String, nullable=False),
        sa.Column("call_id", sa.String, nullable=False),
        sa.Column("started_at", sa.BigInteger, nullable=False),
        sa.Column("said", sa.LargeBinary, nullable=False),
        sa.Column("heard", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("leg_id", name="pk_loudness"),
        sa.ForeignKeyConstraint(["call_id"], ["calls.id"], name="fk_loudness_call_id"),
    )
    op.create_index("ix_loudness_call_id", "loudness", ["call_id"])
