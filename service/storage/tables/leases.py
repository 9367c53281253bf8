"""Leases of work that only one node does at a time, and requests that wait for a node."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, String, Table

from service.storage.tables.base import RowNumber, metadata

# The node that delivers to a receiver of webhooks.
receiver_leases = Table(
    "receiver_leases",
    metadata,
    # As in deliveries.
    Column("receiver", String, primary_key=True),
    Column("holder", String, nullable=False),
    # Rises with each claim, so that the marks of an earlier claim fit no row.
    Column("epoch", BigInteger, nullable=False),
    # By the database's clock.
    Column("expires_at", BigInteger, nullable=False),
    # Failed attempts in a row.
    Column("failures", Integer, nullable=False),
)

work_leases = Table(
    "work_leases",
    metadata,
    Column("name", String, primary_key=True),
    Column("holder", String, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
)

# Requests to providers about calls, until they have answered.
provider_requests = Table(
    "provider_requests",
    metadata,
    Column("seq", RowNumber, primary_key=True),
    # Not foreign keys: the provider is also asked about a call that was deleted meanwhile.
    Column("call_id", String, nullable=False, unique=True),
    Column("kind", String, nullable=False, server_default="hang-up"),
    Column("connector_id", String, nullable=False),
    Column("provider", String, nullable=False),
    Column("provider_call_id", String, nullable=False),
    Column("attempts", Integer, nullable=False),
    # The node that asks, until its lease ends by the database's clock.
    Column("holder", String),
    Column("expires_at", BigInteger, nullable=False),
    Index("ix_provider_requests_expires_at", "expires_at"),
)
