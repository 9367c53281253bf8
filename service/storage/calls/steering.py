"""Steering of calls: moves, transfers, placed calls, and what providers report of them.

Like ``Calls``: each method is one transaction on the call's locked row, and late or repeated events
change nothing.
"""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from service.clock import Millis
from service.domain.call_state import CallState, require, require_new, state_of
from service.domain.call_transitions import Trigger
from service.domain.calls import Call, LadderEvent, LadderStep, Participant, Transfer
from service.errors import NotFound
from service.storage.calls import dials, provider_requests
from service.storage.calls.notes import add_note
from service.storage.calls.rows import (
    advance,
    insert_call,
    locked,
    permitted,
    transfer_in,
)
from service.storage.cluster.placement import UNPLACED, Placement
from service.storage.database import Database
from service.storage.rooms import presence


class StoredSteering:
    def __init__(self, database: Database, placement: Placement = UNPLACED) -> None:
        self._database = database
        self._placement = placement

    def move(self, call_id: str, room_id: str, participant: Participant, at: Millis) -> Call:
        """Send a call to another room, or into its own under another participant id.

        A later socket streams there. An open socket has to be moved by the caller. Raises
        ``NotFound``, or ``Conflict`` if the call cannot be moved.
        """
        with self._database.write() as connection:
            call, state = _steerable(connection, call_id, Trigger.MOVE_REQUESTED)
            if (call.room_id, call.participant) == (room_id, participant):
                return call
            step = state.step(LadderEvent.MOVED, at, room_id)
            place = self._placement.place_of_next(connection, room_id, call.node_id)
            if call.detached_at is not None:
                # A detached call is in no room until it comes back. An attached one leaves when it
                # arrives.
                presence.leave(connection, call_id, at)
            return advance(
                connection,
                call,
                [step],
                room_id=room_id,
                participant=participant,
                session_id=None,
                node_id=place.node_id,
            )

    def arrived(
        self,
        call_id: str,
        leg_id: str,
        room_id: str,
        participant_id: str,
        session_id: str,
        at: Millis,
    ) -> Call | None:
        """Note that a leg has arrived in a room, and return the call; ``None`` if the leg does not
        hold it.

        An arrival in a room that the call was sent on from is ignored.
        """
        with self._database.write() as connection:
            call = locked(connection, call_id)
            if call is None or not call.status.is_live or call.leg_id != leg_id:
                return None
            state = state_of(call).after(Trigger.ARRIVED)
            if state is None or (call.room_id, call.participant.id) != (room_id, participant_id):
                return call
            presence.join(connection, call, session_id, at)
            step = state.step(LadderEvent.MOVED, at, room_id)
            return advance(connection, call, [step], session_id=session_id)

    def begin_transfer(self, call_id: str, number: str, at: Millis, per_day: int) -> Call:
        """Begin a transfer. The provider is told to dial when it next asks.

        Raises ``NotFound``, ``Conflict`` if the call cannot be transferred, and ``Forbidden`` if
        ``per_day`` numbers have been dialled.
        """
        with self._database.write() as connection:
            call, state = _steerable(connection, call_id, Trigger.TRANSFER_REQUESTED)
            dials.count(connection, at, per_day)
            step = state.step(LadderEvent.TRANSFER, at)
            transfer = Transfer(number, step.status)
            return advance(connection, call, [step], transfer=transfer, attempts=0)

    def dialling(self, call_id: str, number: str, step: LadderStep) -> bool:
        """Note that the provider is told to dial; a repetition counts as an attempt.

        Returns false if the call is not being transferred to that number.
        """
        with self._database.write() as connection:
            found = permitted(connection, call_id, Trigger.DIALLED)
            if found is None:
                return False
            call, state = found
            transfer = transfer_in(call, state)
            if transfer is None or transfer.number != number:
                return False
            new = [] if transfer == call.transfer else [step]
            advance(connection, call, new, transfer=transfer, attempts=call.attempts + 1)
            return True

    def transfer_failed(self, call_id: str, detail: str, at: Millis) -> Call | None:
        """Note that nobody has answered the transfer. The call is detached, like one that has lost
        its socket.

        Returns ``None`` if the call was not being transferred.
        """
        with self._database.write() as connection:
            found = permitted(connection, call_id, Trigger.DIAL_FAILED)
            if found is None:
                return None
            call, state = found
            transfer = transfer_in(call, state)
            step = state.step(LadderEvent.TRANSFER, at, detail)
            return advance(connection, call, [step], transfer=transfer, detached_at=at, attempts=0)

    def place_call(self, call: Call, limit: int, per_day: int) -> bool:
        """Add a call that the provider is about to be asked to dial.

        Returns false, and writes nothing, if each node that may take it has ``limit`` calls. Raises
        ``Forbidden`` if ``per_day`` numbers have been dialled.
        """
        require_new(call, Trigger.PLACED)
        with self._database.write() as connection:
            place = self._placement.place_of_new(connection, call, limit)
            if place is None:
                return False
            dials.count(connection, call.started_at, per_day)
            insert_call(connection, replace(call, node_id=place.node_id))
            return True

    def bind(self, call_id: str, provider_call_id: str, *, firm: bool) -> Call | None:
        """Store the provider's id of a placed call, and return the call.

        ``firm`` marks an id from a webhook, which replaces one from the REST API. A call that ended
        before its id was known still rings there, so the provider is to be asked to end it. Returns
        ``None`` if the id belongs to another call.
        """
        try:
            with self._database.write() as connection:
                call = locked(connection, call_id)
                if call is None or call.provider_call_id == provider_call_id:
                    return call
                if not firm and call.provider_call_id != call.id:
                    return call
                bound = advance(connection, call, [], provider_call_id=provider_call_id)
                if call.provider_call_id == call.id and not call.status.is_live:
                    provider_requests.add(connection, bound)
                return bound
        except IntegrityError:
            return None

    def ringing(self, call_id: str, at: Millis) -> bool:
        with self._database.write() as connection:
            found = permitted(connection, call_id, Trigger.RINGING)
            if found is None:
                return False
            call, state = found
            step = state.step(LadderEvent.RINGING, at)
            advance(connection, call, [step], status=state.status)
            return True

    def note(self, call_id: str, detail: str, at: Millis) -> bool:
        """Add a remark of the provider to the ladder, once, also to that of a call that is over."""
        with self._database.write() as connection:
            return add_note(connection, call_id, detail, at)


def _steerable(connection: Connection, call_id: str, event: Trigger) -> tuple[Call, CallState]:
    """Lock the call, and return it with the state that follows. Raises ``NotFound``, or
    ``Conflict`` where the event is not allowed.
    """
    call = locked(connection, call_id)
    if call is None:
        raise NotFound("Call not found")
    return call, require(call, event)
