"""Secrets of the process itself.

Webhook keys and PINs are sealed by the server that starts: a revision knows no API_SECRET, and may
run while an earlier version still reads them.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    op.create_table(
        "secrets",
        sa.Column("name", sa.String, nullable=False),
        sa.Column("sealed", sa.String, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_secrets"),
    )
