"""Answers of callers who are asked for a PIN.

Each method is one transaction around one conditional UPDATE, which holds only for the latest try:
of several answers to one try the first counts. Any other answer changes nothing, and the method
returns false or ``None``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, select, update

from service.clock import Millis
from service.domain.call_transitions import TABLE, Phase, Trigger
from service.domain.calls import CallStatus, EndReason, LadderEvent, LadderStep
from service.domain.nodes import Place
from service.storage.calls import media_references
from service.storage.calls.phases import permits
from service.storage.calls.placed import StepsAt
from service.storage.calls.rows import fetch, insert_steps
from service.storage.cluster.placement import UNPLACED, Placement
from service.storage.database import Database
from service.storage.tables import calls
from service.storage.webhooks.events import announce_call


class Pins:
    def __init__(self, database: Database, placement: Placement = UNPLACED) -> None:
        self._database = database
        self._placement = placement

    def verified(
        self,
        call_id: str,
        tries: int,
        room_id: str,
        ref_digest: str,
        expires_at: Millis,
        steps: StepsAt,
    ) -> Place | None:
        """Let a caller in who knew the PIN: the call has a room, and waits for its socket."""
        with self._database.write() as connection:
            if not _advance(
                connection,
                Trigger.PIN_ACCEPTED,
                call_id,
                tries,
                room_id=room_id,
                expires_at=expires_at,
                attempts=1,
            ):
                return None
            # After the change, which locks the call: the room's lease is locked after it.
            place = self._placement.place_of_next(connection, room_id)
            connection.execute(
                update(calls).where(calls.c.id == call_id).values(node_id=place.node_id)
            )
            media_references.issue(connection, ref_digest, call_id, expires_at)
            _announce(connection, call_id, steps(place))
            return place

    def repeated(
        self, call_id: str, tries: int, expires_at: Millis, steps: Sequence[LadderStep]
    ) -> bool:
        """Ask the same once more. Counts as an attempt."""
        with self._database.write() as connection:
            if not _advance(
                connection,
                Trigger.PIN_ASKED,
                call_id,
                tries,
                expires_at=expires_at,
                attempts=calls.c.attempts + 1,
            ):
                return False
            insert_steps(connection, [call_id], steps)
            return True

    def asked(self, call_id: str, tries: int, expires_at: Millis, step: LadderStep) -> bool:
        """Ask again after a wrong answer."""
        with self._database.write() as connection:
            if not _advance(
                connection,
                Trigger.PIN_ASKED,
                call_id,
                tries,
                pin_tries=tries + 1,
                expires_at=expires_at,
                attempts=1,
            ):
                return False
            insert_steps(connection, [call_id], [step])
            return True

    def rejected(
        self, call_id: str, tries: int, reason: EndReason, at: Millis, step: LadderStep
    ) -> bool:
        """Reject a caller after a wrong answer to the last try."""
        with self._database.write() as connection:
            if not _advance(
                connection, Trigger.REFUSED, call_id, tries, ended_at=at, end_reason=reason
            ):
                return False
            end = LadderStep(LadderEvent.END, at, CallStatus.REJECTED, reason)
            _announce(connection, call_id, [step, end])
            return True


def _advance(
    connection: Connection, event: Trigger, call_id: str, tries: int, **changes: Any
) -> bool:
    """Let an event happen to a caller who is asked for a PIN, with what else it changes."""
    changed = connection.execute(
        update(calls)
        .where(calls.c.id == call_id, permits(event), calls.c.pin_tries == tries)
        .values(status=TABLE[event].phase[Phase.ASKED].status, **changes)
    )
    return changed.rowcount > 0


def _announce(connection: Connection, call_id: str, steps: Sequence[LadderStep]) -> None:
    """Add the last steps of a caller who is not asked any more, and announce the change."""
    insert_steps(connection, [call_id], steps)
    (call,) = fetch(connection, select(calls).where(calls.c.id == call_id))
    announce_call(connection, CallStatus.INCOMING, call, steps)
