"""Rooms, their sessions and presences, filled from the calls so far."""

from __future__ import annotations

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

RowNumber = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    rooms = op.create_table(
        "rooms",
        sa.Column("seq", RowNumber, nullable=False),
        sa.Column("id", sa.String, nullable=False),
        sa.Column("object_id", sa.String, nullable=False),
        sa.Column("custom_id", sa.String),
        sa.Column("geo_fence", sa.String),
        sa.Column("disabled", sa.Boolean, nullable=False),
        sa.Column("webhook", sa.JSON),
        sa.Column("auto_close_type", sa.String),
        sa.Column("auto_close_minutes", sa.BigInteger),
        sa.Column("allowed_participant_ids", sa.JSON, nullable=False),
        sa.Column("options", sa.JSON, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_rooms"),
        sa.UniqueConstraint("id", name="uq_rooms_id"),
        sa.UniqueConstraint("object_id", name="uq_rooms_object_id"),
        sa.UniqueConstraint("custom_id", name="uq_rooms_custom_id"),
    )
    op.create_table(
        "sessions",
        sa.Column("seq", RowNumber, nullable=False),
        sa.Column("id", sa.String, nullable=False),
        sa.Column("room_id", sa.String, nullable=False),
        sa.Column("region", sa.String),
        sa.Column("started_at", sa.BigInteger, nullable=False),
        sa.Column("ended_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("seq", name="pk_sessions"),
        sa.UniqueConstraint("id", name="uq_sessions_id"),
    )
    op.create_index("ix_sessions_room_id", "sessions", ["room_id"])
    op.create_index("ix_sessions_ended_at", "sessions", ["ended_at"])
    op.create_table(
        "stays",
        sa.Column("seq", RowNumber, nullable=False),
        sa.Column("session_id", sa.String, nullable=False),
        sa.Column("call_id", sa.String, nullable=False),
        sa.Column("participant_id", sa.String, nullable=False),
        sa.Column("participant_name", sa.String, nullable=False),
        sa.Column("joined_at", sa.BigInteger, nullable=False),
        sa.Column("left_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("seq", name="pk_stays"),
        sa.ForeignKeyConstraint(["session_id"], ["sessions.id"], name="fk_stays_session_id"),
        sa.ForeignKeyConstraint(["call_id"], ["calls.id"], name="fk_stays_call_id"),
    )
    op.create_index("ix_stays_session_id", "stays", ["session_id"])
    op.create_index("ix_stays_call_id", "stays", ["call_id"])
    _remember(rooms)


def _remember(rooms: sa.Table) -> None:
    """Fill the tables with the rooms, sessions and presences of stored calls."""
    connection = op.get_bind()
    query = (
        "SELECT room_id, MIN(started_at) FROM calls WHERE room_id IS NOT NULL"
        " GROUP BY room_id ORDER BY MIN(started_at)"
    )
    known = [
        {
            "id": room_id,
            "object_id": secrets.token_hex(12),
            "disabled": False,
            "allowed_participant_ids": [],
            "options": {},
            "created_at": at,
            "updated_at": at,
        }
        for room_id, at in connection.execute(sa.text(query))
    ]
    if known:
        connection.execute(sa.insert(rooms), known)
    connection.execute(
        sa.text(
            "INSERT INTO sessions (id, room_id, region, started_at, ended_at)"
            " SELECT session_id, MIN(room_id), MIN(region), MIN(answered_at),"
            " CASE WHEN COUNT(*) = COUNT(ended_at) THEN MAX(ended_at) END"
            " FROM calls WHERE session_id IS NOT NULL AND answered_at IS NOT NULL"
            " GROUP BY session_id ORDER BY MIN(answered_at)"
        )
    )
    connection.execute(
        sa.text(
            "INSERT INTO stays (session_id, call_id, participant_id, participant_name,"
            " joined_at, left_at)"
            " SELECT session_id, id, participant_id, participant_name, answered_at, ended_at"
            " FROM calls WHERE session_id IS NOT NULL AND answered_at IS NOT NULL"
            " ORDER BY answered_at"
        )
    )
