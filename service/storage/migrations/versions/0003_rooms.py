"""Rooms, as few columns as there can be."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "rooms",
        sa.Column("room_id", sa.String, nullable=False),
        sa.Column("custom_room_id", sa.String),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("room_id", name="pk_rooms"),
        sa.UniqueConstraint("custom_room_id", name="uq_rooms_custom_room_id"),
    )
