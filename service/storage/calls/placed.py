"""Calls and the machines of their nodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A call whose node is on another machine than the socket that was opened for it."""

    call_id: str
    error: Misdirected


class PlacedCalls(CallQueries):
    def __init__(self, database: Database, placement: Placement = UNPLACED) -> None:
        super().__init__(database)
        self._placement = placement
        self.node_id = placement.node_id

    def are_full(self, limit: int) -> bool:
        """Return whether no node has fewer than ``limit`` calls."""
        with self._database.read() as connection:
            return self._placement.is_full(connection, limit)

    def elsewhere(self, ref_digest: str) -> Elsewhere | None:
        """Return the live call of a reference if the node of its room is on another machine.

        Reads nothing where no other machine may serve.
        """
        if self._placement.node_url is None:
            return None
        with self._database.read() as connection:
            row = connection.execute(ROOM_OF_REFERENCE, {"ref_digest": ref_digest}).one_or_none()
            place = row and self._placement.holder_elsewhere(connection, row.room_id)
        return Elsewhere(row.id, self._misdirected(place)) if row and place else None

    def note(self, call_id: str, detail: str, at: Millis) -> bool:
        """Add a remark to the ladder, once."""
        with self._database.write() as connection:
            return add_note(connection, call_id, detail, at)

    def _misdirected(self, place: Place) -> Misdirected:
        """Return the error for a socket whose call is at ``place``, and not on this machine."""
        return Misdirected(
            f"The call is on the machine {place.node_url}, and the socket came to the machine "
            f"{self._placement.node_url}."
        )
