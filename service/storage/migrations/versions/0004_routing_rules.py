"""Routing rules and their numbers, and the columns of a call that follow from its rule."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

RowNumber = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "routing_rules",
        sa.Column("seq", RowNumber, nullable=False),
        sa.Column("id", sa.String, nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("type", sa.String, nullable=False),
        sa.Column("room_type", sa.String, nullable=False),
        sa.Column("room_prefix", sa.String),
        sa.Column("room_id", sa.String),
        sa.Column("pin", sa.String),
        sa.Column("hide_phone_number", sa.Boolean, nullable=False),
        sa.Column("dtmf", sa.Boolean, nullable=False),
        sa.Column("allowed_numbers", sa.JSON, nullable=False),
        sa.Column("extra", sa.JSON, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_routing_rules"),
        sa.UniqueConstraint("id", name="uq_routing_rules_id"),
    )
    op.create_table(
        "rule_numbers",
        sa.Column("seq", RowNumber, nullable=False),
        sa.Column("rule_id", sa.String, nullable=False),
        sa.Column("number", sa.String, nullable=False),
        sa.Column("type", sa.String, nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_rule_numbers"),
        sa.ForeignKeyConstraint(["rule_id"], ["routing_rules.id"], name="fk_rule_numbers_rule_id"),
    )
    op.create_index("ix_rule_numbers_rule_id", "rule_numbers", ["rule_id"])
    op.create_index(
        "ix_rule_numbers_inbound",
        "rule_numbers",
        ["number"],
        unique=True,
        sqlite_where=sa.text("type = 'inbound'"),
        postgresql_where=sa.text("type = 'inbound'"),
    )
    # Calls of earlier versions had no rule, whose callers hide nothing and whose keys are heard.
    for name, kind, default in (
        ("pin_tries", sa.Integer, sa.text("0")),
        ("hides_number", sa.Boolean, sa.false()),
        ("dtmf", sa.Boolean, sa.true()),
    ):
        op.add_column("calls", sa.Column(name, kind, nullable=False, server_default=default))
