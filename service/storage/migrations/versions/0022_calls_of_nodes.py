"""Index of the live calls of each node, which are counted at each admission."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"

ALIVE = "status IN ('initiated', 'ringing', 'incoming', 'verified', 'answered')"


def upgrade() -> None:
    alive = sa.text(ALIVE)
    op.create_index(
        "ix_calls_node_id", "calls", ["node_id"], sqlite_where=alive, postgresql_where=alive
    )
