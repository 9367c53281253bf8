"""Calls that are steered from outside: moved, handed on, placed, and what providers say of them.

Like ``Calls``: each method is one transaction on the call's locked row, and what comes late or
twice changes nothing.
"""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import Connection, bindparam, select
from sqlalchemy.exc import IntegrityError

from service.clock import Millis
from service.domain.calls import Call, CallStatus, LadderEvent, LadderStep, Participant, Transfer
from service.errors import Conflict, NotFound
from service.storage.calls import dials
from service.storage.calls.calls import ADMISSION
from service.storage.calls.queries import count_live
from service.storage.calls.rows import advance, insert_call, live, locked, locked_row
from service.storage.database import Database
from service.storage.rooms import presence
from service.storage.tables import steps

MAX_NOTES = 20
"""Rungs that a provider may add to one call's ladder."""

NOTES = select(steps.c.detail).where(
    steps.c.call_id == bindparam("call_id"), steps.c.event == LadderEvent.PROVIDER
)


class Steering:
    def __init__(self, database: Database) -> None:
        self._database = database

    def move(self, call_id: str, room_id: str, participant: Participant, at: Millis) -> Call:
        """Send a call to another room, or into its own under another participant id.

        From here on it streams there, also on a socket that is yet to come. One that is there
        already is left alone. Raises ``NotFound``, or ``Conflict`` where it cannot be moved.
        """
        with self._database.write() as connection:
            call = _steerable(connection, call_id)
            if (call.room_id, call.participant) == (room_id, participant):
                return call
            step = LadderStep(LadderEvent.MOVED, at, CallStatus.SWITCH_ROOM_INITIATED, room_id)
            if call.detached_at is not None:
                # Without a socket it is in no room until it comes back; else it leaves on arrival.
                presence.leave(connection, call_id, at)
            return advance(
                connection, call, [step], room_id=room_id, participant=participant, session_id=None
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
        """A leg is in this room now; the call as it is. ``None`` where the leg does not hold it.

        Where the call has been sent elsewhere since, nothing is written.
        """
        with self._database.write() as connection:
            call = live(connection, call_id)
            if call is None or call.leg_id != leg_id:
                return None
            if (call.room_id, call.participant.id) != (room_id, participant_id):
                return call
            if not call.is_moving:
                return call
            presence.join(connection, call, session_id, at)
            step = LadderStep(LadderEvent.MOVED, at, CallStatus.SWITCH_ROOM_COMPLETED, room_id)
            return advance(connection, call, [step], session_id=session_id)

    def hand_on(self, call_id: str, number: str, at: Millis, per_day: int) -> Call:
        """Begin a transfer: the provider is to be told when it next asks.

        Raises ``NotFound``, ``Conflict`` where the call cannot be transferred, and ``Forbidden``
        where ``per_day`` numbers have been dialled.
        """
        with self._database.write() as connection:
            call = _steerable(connection, call_id)
            dials.count(connection, at, per_day)
            transfer = Transfer(number, CallStatus.TRANSFER_INITIATED)
            step = LadderStep(LadderEvent.TRANSFER, at, transfer.status)
            return advance(connection, call, [step], transfer=transfer, attempts=0)

    def dialling(self, call_id: str, number: str, step: LadderStep) -> bool:
        """The provider is told to dial, once more where it asks again; it counts as an attempt.

        False where the call is not being transferred to that number.
        """
        with self._database.write() as connection:
            call = live(connection, call_id)
            if call is None or call.transfer is None or not call.is_transferring:
                return False
            if call.transfer.number != number:
                return False
            repeated = call.transfer.status is CallStatus.TRANSFERRING
            transfer = replace(call.transfer, status=CallStatus.TRANSFERRING)
            rungs = [] if repeated else [step]
            advance(connection, call, rungs, transfer=transfer, attempts=call.attempts + 1)
            return True

    def transfer_failed(self, call_id: str, detail: str, at: Millis) -> Call | None:
        """Nobody was reached: the caller is to stream again, and has as long as after a loss.

        ``None`` where the call was not being transferred.
        """
        with self._database.write() as connection:
            call = live(connection, call_id)
            if call is None or call.transfer is None or not call.is_transferring:
                return None
            transfer = replace(call.transfer, status=CallStatus.TRANSFER_FAILED)
            step = LadderStep(LadderEvent.TRANSFER, at, transfer.status, detail)
            return advance(connection, call, [step], transfer=transfer, detached_at=at, attempts=0)

    def place(self, call: Call, limit: int, per_day: int) -> bool:
        """Add a call that its provider is about to be asked to dial.

        False, and nothing is written, where ``limit`` calls are live. Raises ``Forbidden`` where
        ``per_day`` numbers have been dialled.
        """
        with self._database.write() as connection:
            self._database.take_turns(connection, ADMISSION)
            if count_live(connection) >= limit:
                return False
            dials.count(connection, call.started_at, per_day)
            insert_call(connection, call)
            return True

    def bind(self, call_id: str, provider_call_id: str, *, firm: bool) -> Call | None:
        """Remember what the provider calls a call that was placed; the call as it is now.

        ``firm`` is what a webhook says; what the REST API promised gives way to it. ``None`` where
        the provider's id belongs to another call.
        """
        try:
            with self._database.write() as connection:
                call = locked(connection, call_id)
                if call is None or call.provider_call_id == provider_call_id:
                    return call
                if not firm and call.provider_call_id != call.id:
                    return call
                return advance(connection, call, [], provider_call_id=provider_call_id)
        except IntegrityError:
            return None

    def ringing(self, call_id: str, at: Millis) -> bool:
        with self._database.write() as connection:
            call = live(connection, call_id)
            if call is None or call.status is not CallStatus.INITIATED:
                return False
            step = LadderStep(LadderEvent.RINGING, at, CallStatus.RINGING)
            advance(connection, call, [step], status=CallStatus.RINGING)
            return True

    def note(self, call_id: str, detail: str, at: Millis) -> bool:
        """Add what the provider said to the ladder, also of a call that is over. Once each."""
        with self._database.write() as connection:
            call = locked_row(connection, call_id)
            if call is None:
                return False
            said = connection.scalars(NOTES, {"call_id": call_id}).all()
            if detail in said or len(said) >= MAX_NOTES:
                return False
            advance(connection, call, [LadderStep(LadderEvent.PROVIDER, at, call.status, detail)])
            return True


def _steerable(connection: Connection, call_id: str) -> Call:
    """The call, locked. Raises ``NotFound``, or ``Conflict`` like ``require_steerable``."""
    call = locked(connection, call_id)
    if call is None:
        raise NotFound("Call not found")
    require_steerable(call)
    return call


def require_steerable(call: Call) -> None:
    """Raise ``Conflict`` where the call is in no room that it could be taken from."""
    if not call.status.is_live:
        raise Conflict(f"The call is over: it is {call.status}.")
    if call.status.is_waiting:
        raise Conflict(f"The call has not been answered yet: it is {call.status}.")
    if call.is_transferring:
        raise Conflict("The call is being transferred.")
