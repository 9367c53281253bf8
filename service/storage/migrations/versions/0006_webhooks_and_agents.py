"""Lifecycle webhooks with their outbox and keys, agents and their dispatches."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

RowNumber = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "subscriptions",
        sa.Column("seq", RowNumber, nullable=False),
        sa.Column("id", sa.String, nullable=False),
        sa.Column("url", sa.String, nullable=False),
        sa.Column("events", sa.JSON, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.Column("deleted_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("seq", name="pk_subscriptions"),
        sa.UniqueConstraint("id", name="uq_subscriptions_id"),
    )
    op.create_table(
        "deliveries",
        sa.Column("seq", RowNumber, nullable=False),
        sa.Column("id", sa.String, nullable=False),
        sa.Column("receiver", sa.String, nullable=False),
        sa.Column("event", sa.String, nullable=False),
        sa.Column("body", sa.String, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("status", sa.String, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("due_at", sa.BigInteger),
        sa.Column("expires_at", sa.BigInteger),
        sa.Column("tried_at", sa.BigInteger),
        sa.Column("answer", sa.Integer),
        sa.Column("error", sa.String),
        sa.PrimaryKeyConstraint("seq", name="pk_deliveries"),
        sa.UniqueConstraint("id", name="uq_deliveries_id"),
    )
    op.create_index(
        "ix_deliveries_receiver_status_seq", "deliveries", ["receiver", "status", "seq"]
    )
    op.create_index(
        "ix_deliveries_pending",
        "deliveries",
        ["receiver", "seq"],
        sqlite_where=sa.text("status = 'pending'"),
        postgresql_where=sa.text("status = 'pending'"),
    )
    op.create_table(
        "signing_keys",
        sa.Column("seq", RowNumber, nullable=False),
        sa.Column("id", sa.String, nullable=False),
        sa.Column("public_key", sa.String, nullable=False),
        sa.Column("private_key", sa.String),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("retired_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("seq", name="pk_signing_keys"),
        sa.UniqueConstraint("id", name="uq_signing_keys_id"),
    )
    op.create_table(
        "agents",
        sa.Column("seq", RowNumber, nullable=False),
        sa.Column("id", sa.String, nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("url", sa.String, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_agents"),
        sa.UniqueConstraint("id", name="uq_agents_id"),
    )
    op.create_table(
        "dispatches",
        sa.Column("seq", RowNumber, nullable=False),
        sa.Column("id", sa.String, nullable=False),
        sa.Column("agent_id", sa.String, nullable=False),
        sa.Column("call_id", sa.String),
        sa.Column("room_id", sa.String, nullable=False),
        sa.Column("base", sa.String, nullable=False),
        sa.Column("metadata", sa.JSON, nullable=False),
        sa.Column("status", sa.String, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("due_at", sa.BigInteger),
        sa.Column("ticket_id", sa.String),
        sa.Column("detail", sa.String),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_dispatches"),
        sa.UniqueConstraint("id", name="uq_dispatches_id"),
    )
    for column in ("call_id", "status", "ticket_id"):
        op.create_index(f"ix_dispatches_{column}", "dispatches", [column])
    op.add_column("calls", sa.Column("agent_id", sa.String))
    op.add_column("calls", sa.Column("agent_base", sa.String))
    op.add_column("calls", sa.Column("agent_metadata", sa.JSON))
