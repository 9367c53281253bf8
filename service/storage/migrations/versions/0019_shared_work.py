"""Leases of shared work, and requests to providers that outlive their process."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"

RowNumber = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "receiver_leases",
        sa.Column("receiver", sa.String, nullable=False),
        sa.Column("holder", sa.String, nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("receiver", name="pk_receiver_leases"),
    )
    op.create_table(
        "work_leases",
        sa.Column("name", sa.String, nullable=False),
        sa.Column("holder", sa.String, nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_work_leases"),
    )
    op.create_table(
        "provider_requests",
        sa.Column("seq", RowNumber, nullable=False),
        sa.Column("call_id", sa.String, nullable=False),
        sa.Column("connector_id", sa.String, nullable=False),
        sa.Column("provider", sa.String, nullable=False),
        sa.Column("provider_call_id", sa.String, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("holder", sa.String),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_provider_requests"),
        sa.UniqueConstraint("call_id", name="uq_provider_requests_call_id"),
    )
    op.create_index("ix_provider_requests_expires_at", "provider_requests", ["expires_at"])
