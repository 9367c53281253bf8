"""The lease of the process that serves from this database."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    op.create_table(
        "serving",
        sa.Column("what", sa.String, primary_key=True),
        sa.Column("holder", sa.String, nullable=False),
        sa.Column("machine", sa.String),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("pid_began", sa.String),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
    )
