"""Removals: deactivate a room, end a session, or remove a participant.

Calls are ended one by one, in storage first, so a provider that requests markup next is told to
hang up.
"""

from __future__ import annotations

from collections.abc import Iterable

from service.calls.ending import CallEnding
from service.clock import Clock
from service.domain.calls import EndReason
from service.domain.rooms import Room, Session
from service.errors import NotFound
from service.storage.calls.calls import Calls
from service.storage.rooms.rooms import Rooms
from service.storage.rooms.sessions import Sessions


class Removals:
    """Thread-safe."""

    def __init__(
        self, clock: Clock, calls: Calls, rooms: Rooms, sessions: Sessions, ending: CallEnding
    ) -> None:
        self._clock = clock
        self._calls = calls
        self._rooms = rooms
        self._sessions = sessions
        self._ending = ending

    def deactivate(self, room: Room) -> Room:
        """Close the room to new calls, and end the calls that are in it or on the way."""
        closed = self._rooms.deactivate(room.id, self._clock.now())
        while found := self._calls.in_room(room.id):
            for call in found:
                self._ending.hang_up(call, EndReason.ROOM_DEACTIVATED, None)
        return closed

    def end(self, session: Session) -> Session:
        """End the calls of all participants. The session ends with the last of them."""
        self._end_calls(self._sessions.present(session.id), EndReason.SESSION_ENDED)
        return self._sessions.get(session.id)

    def remove(self, session: Session, participant_id: str) -> None:
        """End the calls of one participant. Raises ``NotFound`` where it is not in the session."""
        found = self._sessions.present(session.id, participant_id)
        if not found:
            raise NotFound("This participant is not in the session.")
        self._end_calls(found, EndReason.REMOVED)

    def _end_calls(self, call_ids: Iterable[str], reason: EndReason) -> None:
        for call_id in call_ids:
            self._ending.hang_up(self._calls.get(call_id), reason, None)
