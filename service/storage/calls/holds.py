"""Holds that providers were told while the database was away, stored once it is back.

Other nodes, and the next process, then know how long the call may still be without a socket.
"""

from __future__ import annotations

from sqlalchemy import func, or_, update

from service.clock import Millis
from service.domain.call_transitions import Phase
from service.domain.calls import WAITING
from service.storage.calls.phases import in_phase
from service.storage.database import Database
from service.storage.tables import calls


class StoredHolds:
    """Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def extend(self, call_id: str, until: Millis) -> None:
        """Let a call be without a socket until then at least, unless it has one."""
        without_socket = or_(calls.c.status.in_(WAITING), in_phase(Phase.DETACHED))
        earlier = func.coalesce(calls.c.expires_at, 0) < until
        with self._database.write() as connection:
            connection.execute(
                update(calls)
                .where(calls.c.id == call_id, without_socket, earlier)
                .values(expires_at=until)
            )
