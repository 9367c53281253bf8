"""Routing rules and the numbers that lead to them."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, String, Table, text

from service.storage.tables.base import Document, RowNumber, metadata

routing_rules = Table(
    "routing_rules",
    metadata,
    Column("seq", RowNumber, primary_key=True),
    Column("id", String, nullable=False, unique=True),
    Column("name", String, nullable=False),
    Column("type", String, nullable=False),
    Column("room_type", String, nullable=False),
    Column("room_prefix", String),
    Column("room_id", String),
    # Encrypted; in the clear where an earlier version has stored it.
    Column("pin", String),
    Column("hide_phone_number", Boolean, nullable=False),
    Column("dtmf", Boolean, nullable=False),
    Column("allowed_numbers", Document, nullable=False),
    Column("extra", Document, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
)

# The type is the rule's, which is fixed: an inbound number leads to one rule only.
INBOUND_NUMBER = text("type = 'inbound'")
rule_numbers = Table(
    "rule_numbers",
    metadata,
    Column("seq", RowNumber, primary_key=True),
    Column("rule_id", ForeignKey(routing_rules.c.id), nullable=False, index=True),
    Column("number", String, nullable=False),
    Column("type", String, nullable=False),
    Index(
        "ix_rule_numbers_inbound",
        "number",
        unique=True,
        sqlite_where=INBOUND_NUMBER,
        postgresql_where=INBOUND_NUMBER,
    ),
)
