"""The digest of the key in a call's addresses. Calls that are up already have none."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.add_column("calls", sa.Column("key_digest", sa.String))
