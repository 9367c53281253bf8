"""Connectors, their calls, and each call's steps, references and loudness."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    ForeignKey,
    FromClause,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    UniqueConstraint,
    literal_column,
)

from service.domain.calls import LIVE, WEBSOCKET, CallStatus
from service.storage.tables.base import Document, RowNumber, among, metadata, partial

connectors = Table(
    "connectors",
    metadata,
    Column("seq", RowNumber, primary_key=True),
    Column("id", String, nullable=False, unique=True),
    Column("provider", String, nullable=False),
    Column("name", String),
    # Encrypted; in the clear where an earlier version has stored it.
    Column("webhook_key", String, nullable=False),
    # Keys are looked up by digest, so that the time of a look-up says nothing about the key. A key
    # has 190 random bits and cannot be found by its digest, so the digest needs no secret.
    Column("webhook_key_digest", String, nullable=False, unique=True),
    Column("default_room_id", String),
    Column("default_rule_id", String),
    Column("region", String),
    Column("created_at", BigInteger, nullable=False),
    # A JSON object of names and lists of values, encrypted.
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
    Column("room_id", String),
    Column("rule_id", String),
    Column("session_id", String),
    Column("caller", String, nullable=False),
    Column("callee", String, nullable=False),
    Column("status", String, nullable=False),
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
    # Bits of the statuses that only steps have and that the call has been through; see PASSING.
    Column("passed", Integer, nullable=False, server_default="0"),
    # Of the key in the URLs that the provider requests about this call.
    Column("key_digest", String),
    # The agent to send into the room once this call is in it.
    Column("agent_id", String),
    Column("agent_base", String),
    Column("agent_metadata", Document),
    # The node that has its leg or will have its next one. Not a foreign key: a node's row goes with
    # the node.
    Column("node_id", String),
    UniqueConstraint("connector_id", "provider_call_id"),
)


def alive(table: FromClause = calls) -> ColumnElement[bool]:
    """Whether a call is live; by a partial index."""
    return among(table.c.status, LIVE)


PHONE = calls.c.provider != literal_column(f"'{WEBSOCKET}'")
"""Whether a call is in lists."""

PASSED = calls.c.passed != literal_column("0")

# The same as an equality, with which SQLite uses the index that begins with it.
HAS_PASSED = literal_column("sign(passed)", Integer)

# Their order is stored: append new ones.
PASSING = (
    CallStatus.TRANSFER_INITIATED,
    CallStatus.TRANSFER_ACCEPTED,
    CallStatus.TRANSFERRING,
    CallStatus.TRANSFER_RINGING,
    CallStatus.TRANSFERRED,
    CallStatus.TRANSFER_FAILED,
    CallStatus.SWITCH_ROOM_INITIATED,
    CallStatus.SWITCH_ROOM_COMPLETED,
    CallStatus.SWITCH_ROOM_FAILED,
)
"""Statuses that only steps have."""


def passed_bit(status: CallStatus) -> int:
    """Return the bit of ``calls.passed`` for the status, or 0 if it is a status of calls."""
    return 1 << PASSING.index(status) if status in PASSING else 0


NEWEST = (calls.c.started_at, calls.c.seq)
NEWEST_FIRST = tuple(column.desc() for column in NEWEST)

LAST_DIGITS = 4

# The end of a number, which people remember best. SQLite has no other spelling of this.
CALLER_END, CALLEE_END = (
    literal_column(f"substr({name}, length({name}) - {LAST_DIGITS - 1})", String)
    for name in ("caller", "callee")
)

partial("ix_calls_alive", calls.c.room_id, where=alive())
partial("ix_calls_node_id", calls.c.node_id, where=alive())
partial("ix_calls_newest", *NEWEST, where=PHONE)

CARRIED = (
    calls.c.connector_id,
    calls.c.room_id,
    calls.c.rule_id,
    calls.c.direction,
    calls.c.status,
    calls.c.passed,
)
"""Columns of filters that every filter's index contains as well: several filters are answered along
one index, without access to rows or other indexes."""

for column in (calls.c.session_id, *CARRIED[:-1]):
    carried = [each for each in CARRIED if each is not column]
    # SQLite reads the row if the index lacks the columns of its own condition.
    covering = (column, *NEWEST, *carried, calls.c.provider)
    partial(f"ix_calls_{column.name}_newest", *covering, where=PHONE)
has_passed = (HAS_PASSED, *NEWEST, *CARRIED, calls.c.provider)
partial("ix_calls_passed_newest", *has_passed, where=PHONE & PASSED)
for name, end in (("caller", CALLER_END), ("callee", CALLEE_END)):
    # With a language's collation, Postgres finds a prefix only by this operator class.
    Index(
        f"ix_calls_{name}_newest",
        calls.c[name],
        *NEWEST,
        sqlite_where=PHONE,
        postgresql_where=PHONE,
        postgresql_ops={name: "text_pattern_ops"},
    )
    partial(f"ix_calls_{name}_end_newest", end, *NEWEST, where=PHONE)

refs = Table(
    "refs",
    metadata,
    Column("digest", String, primary_key=True),
    Column("call_id", ForeignKey(calls.c.id), nullable=False, index=True),
    # Indexed for the sweep.
    Column("expires_at", BigInteger, nullable=False, index=True),
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

# Of each leg that has started and ended: a code for each second.
loudness = Table(
    "loudness",
    metadata,
    Column("leg_id", String, primary_key=True),
    Column("call_id", ForeignKey(calls.c.id), nullable=False, index=True),
    Column("started_at", BigInteger, nullable=False),
    Column("said", LargeBinary, nullable=False),
    Column("heard", LargeBinary, nullable=False),
)
