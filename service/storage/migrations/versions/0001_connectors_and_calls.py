"""Connectors, calls, their references and their ladders."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

RowNumber = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "connectors",
        sa.Column("seq", RowNumber, nullable=False),
        sa.Column("id", sa.String, nullable=False),
        sa.Column("provider", sa.String, nullable=False),
        sa.Column("name", sa.String),
        sa.Column("webhook_key", sa.String, nullable=False),
        sa.Column("webhook_key_digest", sa.String, nullable=False),
        sa.Column("default_room_id", sa.String),
        sa.Column("default_rule_id", sa.String),
        sa.Column("region", sa.String),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_connectors"),
        sa.UniqueConstraint("id", name="uq_connectors_id"),
        sa.UniqueConstraint("webhook_key_digest", name="uq_connectors_webhook_key_digest"),
    )
    op.create_table(
        "calls",
        sa.Column("seq", RowNumber, nullable=False),
        sa.Column("id", sa.String, nullable=False),
        sa.Column("provider", sa.String, nullable=False),
        sa.Column("provider_call_id", sa.String, nullable=False),
        sa.Column("connector_id", sa.String),
        sa.Column("room_id", sa.String),
        sa.Column("rule_id", sa.String),
        sa.Column("session_id", sa.String),
        sa.Column("caller", sa.String, nullable=False),
        sa.Column("callee", sa.String, nullable=False),
        sa.Column("status", sa.String, nullable=False),
        sa.Column("participant_id", sa.String, nullable=False),
        sa.Column("participant_name", sa.String, nullable=False),
        sa.Column("participant_metadata", sa.JSON, nullable=False),
        sa.Column("region", sa.String),
        sa.Column("started_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger),
        sa.Column("answered_at", sa.BigInteger),
        sa.Column("detached_at", sa.BigInteger),
        sa.Column("ended_at", sa.BigInteger),
        sa.Column("end_reason", sa.String),
        sa.Column("leg_id", sa.String),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("stats", sa.JSON),
        sa.PrimaryKeyConstraint("seq", name="pk_calls"),
        sa.UniqueConstraint("id", name="uq_calls_id"),
        sa.UniqueConstraint(
            "connector_id", "provider_call_id", name="uq_calls_connector_id_provider_call_id"
        ),
    )
    op.create_index("ix_calls_room_id", "calls", ["room_id"])
    op.create_index("ix_calls_session_id", "calls", ["session_id"])
    op.create_index("ix_calls_status", "calls", ["status"])
    op.create_table(
        "refs",
        sa.Column("digest", sa.String, nullable=False),
        sa.Column("call_id", sa.String, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("claimed_at", sa.BigInteger),
        sa.Column("leg_id", sa.String),
        sa.PrimaryKeyConstraint("digest", name="pk_refs"),
        sa.ForeignKeyConstraint(["call_id"], ["calls.id"], name="fk_refs_call_id"),
    )
    op.create_index("ix_refs_leg_id", "refs", ["leg_id"])
    op.create_table(
        "steps",
        sa.Column("seq", RowNumber, nullable=False),
        sa.Column("call_id", sa.String, nullable=False),
        sa.Column("event", sa.String, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("status", sa.String, nullable=False),
        sa.Column("detail", sa.String),
        sa.PrimaryKeyConstraint("seq", name="pk_steps"),
        sa.ForeignKeyConstraint(["call_id"], ["calls.id"], name="fk_steps_call_id"),
    )
    op.create_index("ix_steps_call_id", "steps", ["call_id"])
