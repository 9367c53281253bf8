"""The boot of the machine, in the time of the clock that stored deadlines use."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.create_table(
        "time_base",
        sa.Column("boot", sa.String, nullable=False),
        sa.Column("began_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("boot", name="pk_time_base"),
    )
