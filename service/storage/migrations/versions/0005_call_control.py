"""Outbound calls, transfers, and how long a call may last."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    for column in (
        sa.Column("direction", sa.String, nullable=False, server_default="inbound"),
        sa.Column("metadata", sa.JSON),
        sa.Column("max_seconds", sa.Integer),
        sa.Column("transfer_number", sa.String),
        sa.Column("transfer_status", sa.String),
    ):
        op.add_column("calls", column)
