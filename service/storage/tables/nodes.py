"""The nodes that serve from this database, and the rooms that each of them mixes."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, String, Table

from service.storage.tables.base import metadata

nodes = Table(
    "nodes",
    metadata,
    # New with each start of a process.
    Column("id", String, primary_key=True),
    # The workers of one gunicorn.
    Column("machine_id", String, nullable=False),
    # NODE_URL of the machine.
    Column("url", String),
    # Host and process, so that the process's end can be seen on the same host.
    Column("host", String),
    Column("pid", Integer, nullable=False),
    Column("pid_began", String),
    Column("version", String, nullable=False),
    # Of API_SECRET.
    Column("secret_digest", String, nullable=False),
    Column("state", String, nullable=False),
    # By the database's clock.
    Column("started_at", BigInteger, nullable=False),
    Column("heartbeat", BigInteger, nullable=False),
    # First heartbeat of the current run without a gap.
    Column("steady_since", BigInteger, nullable=False),
)

# A lease holds for as long as its node's row has a fresh heartbeat. ``epoch`` counts its holders.
room_leases = Table(
    "room_leases",
    metadata,
    Column("room_id", String, primary_key=True),
    Column("node_id", String, nullable=False, index=True),
    Column("epoch", Integer, nullable=False),
)
