"""Nodes, the leases of their rooms, and the node of each call."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    op.create_table(
        "nodes",
        sa.Column("id", sa.String, nullable=False),
        sa.Column("machine_id", sa.String, nullable=False),
        sa.Column("host", sa.String),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("pid_began", sa.String),
        sa.Column("version", sa.String, nullable=False),
        sa.Column("secret_digest", sa.String, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("started_at", sa.BigInteger, nullable=False),
        sa.Column("heartbeat", sa.BigInteger, nullable=False),
        sa.Column("steady_since", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_nodes"),
    )
    op.create_table(
        "room_leases",
        sa.Column("room_id", sa.String, nullable=False),
        sa.Column("node_id", sa.String, nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("room_id", name="pk_room_leases"),
    )
    op.create_index("ix_room_leases_node_id", "room_leases", ["node_id"])
    op.add_column("calls", sa.Column("node_id", sa.String))
