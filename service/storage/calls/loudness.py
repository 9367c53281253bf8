"""Loudness of the legs of calls, written when a leg ends."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import bindparam, insert, select

from service.domain.loudness import Loudness
from service.storage.database import Database
from service.storage.tables import loudness

KNOWN = select(loudness.c.leg_id).where(loudness.c.leg_id == bindparam("leg_id"))
OF_CALL = (
    select(loudness)
    .where(loudness.c.call_id == bindparam("call_id"))
    .order_by(loudness.c.started_at)
)


class LoudnessRecords:
    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, call_id: str, record: Loudness) -> None:
        """Add the record of a leg that has ended. Idempotent."""
        with self._database.write() as connection:
            if connection.scalar(KNOWN, {"leg_id": record.leg_id}) is None:
                connection.execute(
                    insert(loudness),
                    {
                        "leg_id": record.leg_id,
                        "call_id": call_id,
                        "started_at": record.started_at,
                        "said": record.said,
                        "heard": record.heard,
                    },
                )

    def of(self, call_id: str) -> Sequence[Loudness]:
        """Return the records of a call's ended legs, oldest first."""
        with self._database.read() as connection:
            rows = connection.execute(OF_CALL, {"call_id": call_id}).all()
        return [Loudness(row.leg_id, row.started_at, row.said, row.heard) for row in rows]
