"""The tables. Names match the fields of the values in ``model`` where both exist.

Times are epoch milliseconds. ``seq`` orders rows of one millisecond. States and events are stored
as their words, so that a new one needs no migration.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    text,
)

# Constraints without a name cannot be altered by a later migration.
metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

# SQLite numbers rows by itself only where the key's type is INTEGER exactly.
RowNumber = BigInteger().with_variant(Integer, "sqlite")

# None is SQL's NULL, not JSON's null.
Document = JSON(none_as_null=True)

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
)

rooms = Table(
    "rooms",
    metadata,
    Column("seq", RowNumber, primary_key=True),
    Column("id", String, nullable=False, unique=True),
    Column("object_id", String, nullable=False, unique=True),
    Column("custom_id", String, unique=True),
    Column("geo_fence", String),
    Column("disabled", Boolean, nullable=False),
    Column("webhook", Document),
    Column("auto_close_type", String),
    Column("auto_close_minutes", BigInteger),
    Column("allowed_participant_ids", Document, nullable=False),
    Column("options", Document, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
)

sessions = Table(
    "sessions",
    metadata,
    Column("seq", RowNumber, primary_key=True),
    Column("id", String, nullable=False, unique=True),
    Column("room_id", String, nullable=False, index=True),
    Column("region", String),
    Column("started_at", BigInteger, nullable=False),
    # Indexed for the sweeps, which look for what is not over.
    Column("ended_at", BigInteger, index=True),
)

# From a join to a leave: one call in one session.
stays = Table(
    "stays",
    metadata,
    Column("seq", RowNumber, primary_key=True),
    Column("session_id", ForeignKey(sessions.c.id), nullable=False, index=True),
    Column("call_id", ForeignKey(calls.c.id), nullable=False, index=True),
    Column("participant_id", String, nullable=False),
    Column("participant_name", String, nullable=False),
    Column("joined_at", BigInteger, nullable=False),
    Column("left_at", BigInteger),
)

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

PENDING = text("status = 'pending'")
FINISHED = text("status <> 'pending'")

subscriptions = Table(
    "subscriptions",
    metadata,
    Column("seq", RowNumber, primary_key=True),
    Column("id", String, nullable=False, unique=True),
    Column("url", String, nullable=False),
    Column("events", Document, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("deleted_at", BigInteger),
)

# The outbox: one event for one receiver, from the change it tells of until it has arrived.
deliveries = Table(
    "deliveries",
    metadata,
    Column("seq", RowNumber, primary_key=True),
    Column("id", String, nullable=False, unique=True),
    # A subscription's id, or "room:" and a room's.
    Column("receiver", String, nullable=False),
    Column("event", String, nullable=False),
    Column("body", String, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("status", String, nullable=False),
    Column("attempts", Integer, nullable=False),
    # When it is tried next, and until when it is tried again; both only while it is pending.
    Column("due_at", BigInteger),
    Column("expires_at", BigInteger),
    # Of the last attempt: when, the HTTP status of the answer, and what was wrong.
    Column("tried_at", BigInteger),
    Column("answer", Integer),
    Column("error", String),
    # Queries spell the conditions like this, or no database sees that an index has them.
    Index(
        "ix_deliveries_pending",
        "receiver",
        "seq",
        sqlite_where=PENDING,
        postgresql_where=PENDING,
    ),
    Index(
        "ix_deliveries_finished",
        "receiver",
        "seq",
        sqlite_where=FINISHED,
        postgresql_where=FINISHED,
    ),
)

signing_keys = Table(
    "signing_keys",
    metadata,
    Column("seq", RowNumber, primary_key=True),
    Column("id", String, nullable=False, unique=True),
    # PEM (SPKI).
    Column("public_key", String, nullable=False),
    # PEM (PKCS #8), as the vault seals it; not of a key that was given by a setting, or is retired.
    Column("private_key", String),
    Column("created_at", BigInteger, nullable=False),
    Column("retired_at", BigInteger),
)

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

# One agent that is sent into one room, from the wish until it has left again or did not come.
dispatches = Table(
    "dispatches",
    metadata,
    Column("seq", RowNumber, primary_key=True),
    Column("id", String, nullable=False, unique=True),
    Column("agent_id", String, nullable=False),
    # The call for which it is sent, where there is one.
    Column("call_id", String, index=True),
    Column("room_id", String, nullable=False),
    # The public origin at which it finds us.
    Column("base", String, nullable=False),
    Column("metadata", Document, nullable=False),
    Column("status", String, nullable=False, index=True),
    Column("attempts", Integer, nullable=False),
    # When the next attempt is to be made, or the agent must have joined.
    Column("due_at", BigInteger),
    # The custom WebSocket's call, by the ticket that the agent was given last.
    Column("ticket_id", String, index=True),
    Column("detail", String),
    Column("created_at", BigInteger, nullable=False),
)
