"""Requests to providers to redirect a call, besides those to end one."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    # The requests that wait are from before: all of them end a call.
    kind = sa.Column("kind", sa.String, nullable=False, server_default="hang-up")
    op.add_column("provider_requests", kind)
