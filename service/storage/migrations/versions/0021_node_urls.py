"""Addresses of the machines that serve from one database."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    op.add_column("nodes", sa.Column("url", sa.String))
