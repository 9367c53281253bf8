"""Calls and the machines of their nodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from sqlalchemy import bindparam, select

from service.clock import Millis
from service.domain.calls import LadderStep
from service.domain.nodes import Place
from service.errors import Misdirected
from service.storage.calls.notes import add_note
from service.storage.calls.queries import CallQueries
from service.storage.cluster.placement import UNPLACED, Placement
from service.storage.database import Database
from service.storage.tables import alive, calls, refs

StepsAt: TypeAlias = Callable[[Place], Sequence[LadderStep]]
"""Return the steps of an answer that leads to this place. Called inside a transaction: no I/O."""

ROOM_OF_REFERENCE = (
    select(calls.c.id, calls.c.room_id)
    .join(refs, refs.c.call_id == calls.c.id)
    .where(refs.c.digest == bindparam("ref_digest"), alive(), calls.c.room_id.is_not(None))
)


class PlacedCalls(CallQueries):
    def __init__(self, database: Database, placement: Placement = UNPLACED) -> None:
        super().__init__(database)
        self._placement = placement
        self.node_id = placement.node_id

    def are_full(self, limit: int) -> bool:
        """Return whether no node has fewer than ``limit`` calls."""
        with self._database.read() as connection:
            return self._placement.is_full(connection, limit)

    def require_here(self, ref_digest: str, at: Millis) -> None:
        """Raise ``Misdirected`` if the node of a reference's live call is on another machine, and
        note it on the call's ladder, once.

        Reads nothing where no other machine may serve.
        """
        if self._placement.node_url is None:
            return
        with self._database.read() as connection:
            row = connection.execute(ROOM_OF_REFERENCE, {"ref_digest": ref_digest}).one_or_none()
            place = row and self._placement.holder_elsewhere(connection, row.room_id)
        if row is not None and place is not None:
            error = self._misdirected(place)
            with self._database.write() as connection:
                add_note(connection, row.id, error.message, at)
            raise error

    def _misdirected(self, place: Place) -> Misdirected:
        """Return the error for a socket whose call is at ``place``, and not on this machine."""
        return Misdirected(
            f"The call is on the machine {place.node_url}, and the socket came to the machine "
            f"{self._placement.node_url}."
        )
