"""Steering: move a call to another room, or transfer it to a phone number.

Storage decides first, so a provider that asks at any moment finds the decision, also after a
restart.
"""

from __future__ import annotations

import logging
from dataclasses import replace

from service.clock import Clock
from service.domain.call_state import require
from service.domain.call_transitions import Trigger
from service.domain.calls import WEBSOCKET, Call
from service.domain.dialling import require_allowed
from service.errors import Conflict
from service.media.engine.media import Media
from service.settings import Settings
from service.storage.calls.steering import StoredSteering
from service.storage.database import Database
from service.storage.rooms.rooms import Rooms
from service.storage.rooms.sessions import Sessions
from service.telemetry.logs import about

logger = logging.getLogger(__name__)


class Steering:
    """Thread-safe."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        database: Database,
        stored_steering: StoredSteering,
        rooms: Rooms,
        sessions: Sessions,
        media: Media,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._database = database
        self._stored_steering = stored_steering
        self._rooms = rooms
        self._sessions = sessions
        self._media = media

    def move(self, call: Call, room_id: str, participant_id: str | None) -> Call:
        """Move a call to another room, which is created if it does not exist.

        Raises ``Conflict`` where the call cannot be moved, and ``Forbidden`` where the room does
        not let it in.
        """
        require(call, Trigger.MOVE_REQUESTED)
        at = self._clock.now()
        room = self._rooms.ensure(room_id, at)
        participant = replace(call.participant, id=participant_id or call.participant.id)
        room.require(participant.id)
        moved = self._stored_steering.move(call.id, room.id, participant, at)
        if moved.is_moving:
            logger.info("a call is to go to another room", extra=about(call.id, room.id))
            self.move_socket(moved)
        return moved

    def transfer(self, call: Call, number: str) -> Call:
        """Transfer a call to a number.

        Raises ``Conflict`` where that is not possible, and ``Forbidden`` where the number may not
        be dialled.
        """
        if call.provider == WEBSOCKET:
            raise Conflict("A WebSocket session is not a phone call and cannot be transferred.")
        if not self._settings.reattach:
            raise Conflict(
                "REATTACH is off: the provider does not ask again, so a call cannot be transferred."
            )
        require_allowed(number, call.ours, self._settings.dial_allowed)
        transferring = self._stored_steering.begin_transfer(
            call.id, number, self._clock.now(), self._settings.dial_per_day
        )
        logger.info("a call is to be transferred", extra=about(call.id, call.room_id))
        self.release_socket(transferring)
        return transferring

    def release_socket(self, call: Call) -> None:
        """Close the call's socket: without its stream, the provider asks what to do next."""
        self._media.release(call.id, "The call is being transferred")

    def move_socket(self, call: Call) -> None:
        """Move the call's socket, if it has one, to the room in storage."""
        if call.room_id is not None:
            session_id = self._sessions.waiting(call.room_id, call.node_id)
            move = self._media.move
            self._database.afterwards(move, call.id, call.room_id, call.participant, session_id)
