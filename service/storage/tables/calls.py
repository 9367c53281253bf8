"""Connectors, their calls, what each call climbs and was let in by, and how loud it was."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Integer,
    LargeBinary,
    String,
    Table,
    UniqueConstraint,
)

from service.storage.tables.base import Document, RowNumber, metadata

connectors = Table(
    "connectors",
    metadata,
    Column("seq", RowNumber, primary_key=True),
    Column("id", String, nullable=False, unique=True),
    Column("provider", String, nullable=False),
    Column("name", String),
    Column("webhook_key", String, nullable=False),
    # Keys are looked up by digest: how long an index takes then says nothing about the key.
    Column("webhook_key_digest", String, nullable=False, unique=True),
    Column("default_room_id", String),
    Column("default_rule_id", String),
    Column("region", String),
    Column("created_at", BigInteger, nullable=False),
    # A JSON object of names and lists of values, as the vault seals it.
    Column("credentials", String),
)

calls = Table(
    "calls",
    metadata,
    Column("seq", RowNumber, primary_key=True),
    Column("id", String, nullable=False, unique=True),
    Column("provider", String, nullable=False),
    Column("provider_call_id", String, nullable=False),
    # Not a foreign key: a call outlives its connector.
    Column("connector_id", String),
    Column("room_id", String, index=True),
    Column("rule_id", String),
    Column("session_id", String, index=True),
    Column("caller", String, nullable=False),
    Column("callee", String, nullable=False),
    Column("status", String, nullable=False, index=True),
    Column("participant_id", String, nullable=False),
    Column("participant_name", String, nullable=False),
    Column("participant_metadata", Document, nullable=False),
    Column("region", String),
    Column("started_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Column("answered_at", BigInteger),
    Column("detached_at", BigInteger),
    Column("ended_at", BigInteger),
    Column("end_reason", String),
    Column("leg_id", String),
    Column("attempts", Integer, nullable=False),
    Column("pin_tries", Integer, nullable=False),
    Column("hides_number", Boolean, nullable=False),
    Column("dtmf", Boolean, nullable=False),
    Column("stats", Document),
    Column("direction", String, nullable=False, server_default="inbound"),
    Column("metadata", Document),
    Column("max_seconds", Integer),
    Column("transfer_number", String),
    Column("transfer_status", String),
    # The agent that is to be sent into the room once this call is in it.
    Column("agent_id", String),
    Column("agent_base", String),
    Column("agent_metadata", Document),
    UniqueConstraint("connector_id", "provider_call_id"),
)

refs = Table(
    "refs",
    metadata,
    Column("digest", String, primary_key=True),
    Column("call_id", ForeignKey(calls.c.id), nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("claimed_at", BigInteger),
    # The leg that was let in, until it has started or is gone.
    Column("leg_id", String, index=True),
)

steps = Table(
    "steps",
    metadata,
    Column("seq", RowNumber, primary_key=True),
    Column("call_id", ForeignKey(calls.c.id), nullable=False, index=True),
    Column("event", String, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("status", String, nullable=False),
    Column("detail", String),
    Column("markup", String),
)

# Of each leg that has started and is gone: a code for each second.
loudness = Table(
    "loudness",
    metadata,
    Column("leg_id", String, primary_key=True),
    Column("call_id", ForeignKey(calls.c.id), nullable=False, index=True),
    Column("started_at", BigInteger, nullable=False),
    Column("said", LargeBinary, nullable=False),
    Column("heard", LargeBinary, nullable=False),
)
