"""All nodes of the database at one moment, and which of them are gone.

A node is gone once its process has ended, or once it has sent no heartbeat for ``LEASE_SECONDS``.
After an outage of the database all heartbeats are old, so a node judges others by their heartbeats
only after it has sent its own for as long without a gap. A gap is shorter than the lease by one
interval: the heartbeat of another node may be older by as much.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, RowMapping, select

from service.clock import Millis
from service.domain.nodes import LEASE_SECONDS
from service.process import identity
from service.storage.tables import nodes

LEASE_MILLIS = LEASE_SECONDS * 1000

# Built once: building takes longer than executing.
EVERYONE = select(nodes).order_by(nodes.c.id)
EVERYONE_LOCKED = EVERYONE.with_for_update()


@dataclass(frozen=True, slots=True)
class Census:
    """All nodes at one moment, as one of them judges the others."""

    rows: Sequence[RowMapping]
    own_id: str
    now: Millis

    @property
    def own(self) -> RowMapping | None:
        return next((row for row in self.rows if row["id"] == self.own_id), None)

    def is_gone(self, row: RowMapping) -> bool:
        """Whether a node is known to be gone."""
        if row["id"] == self.own_id:
            return False
        return self.has_ended(row) or (self.has_lapsed(row) and self._may_judge)

    def has_ended(self, row: RowMapping) -> bool:
        """Whether the node's process was seen to end, so that its sockets are closed."""
        return identity.is_gone(row["host"], row["pid"], row["pid_began"])

    def has_lapsed(self, row: RowMapping) -> bool:
        return bool(row["heartbeat"] <= self.now - LEASE_MILLIS)

    @property
    def _may_judge(self) -> bool:
        own = self.own
        return (
            own is not None
            and not self.has_lapsed(own)
            and own["steady_since"] <= self.now - LEASE_MILLIS
        )


def census(
    connection: Connection, own_id: str, now: ColumnElement[int], *, locked: bool = False
) -> Census:
    """Read all nodes. With ``locked``, none of them beats until the transaction ends."""
    rows = connection.execute(EVERYONE_LOCKED if locked else EVERYONE).mappings().all()
    # After the rows, so that no heartbeat is later than this.
    return Census(rows, own_id, connection.execute(select(now)).scalar_one())
