"""Agents, and their dispatches into rooms."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, String, Table

from service.storage.tables.base import Document, RowNumber, metadata

agents = Table(
    "agents",
    metadata,
    Column("seq", RowNumber, primary_key=True),
    Column("id", String, nullable=False, unique=True),
    Column("name", String, nullable=False),
    Column("url", String, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
)

# One agent sent into one room, until it has left or has failed to join.
dispatches = Table(
    "dispatches",
    metadata,
    Column("seq", RowNumber, primary_key=True),
    Column("id", String, nullable=False, unique=True),
    Column("agent_id", String, nullable=False),
    # The call for which it is sent, if any.
    Column("call_id", String, index=True),
    Column("room_id", String, nullable=False),
    # The public origin of the service, which the agent connects to.
    Column("base", String, nullable=False),
    Column("metadata", Document, nullable=False),
    Column("status", String, nullable=False, index=True),
    Column("attempts", Integer, nullable=False),
    # The time of the next attempt, or by which the agent must have joined.
    Column("due_at", BigInteger),
    # The custom WebSocket's call of the ticket that the agent was given last.
    Column("ticket_id", String, index=True),
    Column("detail", String),
    Column("created_at", BigInteger, nullable=False),
)
