"""The markup of the answers to providers, with the secrets masked."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.add_column("steps", sa.Column("markup", sa.String))
