"""Who must leave: a room is deactivated, a session ended, somebody removed, or a time is up.

Everything here ends calls one by one through the switchboard, in storage first, so that the
provider of a phone that asks what to do next is told to hang up.
"""

from __future__ import annotations

import logging

from service.calls.deadlines import Sparing
from service.calls.ending import Switchboard
from service.domain.calls import EndReason
from service.domain.rooms import AutoCloseType, Room, Session
from service.errors import NotFound

logger = logging.getLogger(__name__)


def deactivate(switchboard: Switchboard, room: Room) -> Room:
    """Let nobody into the room any more, and put everybody out who is in it or on the way."""
    closed = switchboard.rooms.deactivate(room.id, switchboard.clock.now())
    while found := switchboard.calls.in_room(room.id):
        for call in found:
            switchboard.hang_up(call, EndReason.ROOM_DEACTIVATED, None)
    return closed


def end(switchboard: Switchboard, session: Session) -> Session:
    """Put everybody out of the session, which ends with the last of them."""
    _put_out(switchboard, switchboard.sessions.present(session.id), EndReason.SESSION_ENDED)
    return switchboard.sessions.get(session.id)


def remove(switchboard: Switchboard, session: Session, participant_id: str) -> None:
    """Put one participant out of the session. Raises ``NotFound`` where it is not in it."""
    found = switchboard.sessions.present(session.id, participant_id)
    if not found:
        raise NotFound("This participant is not in the session.")
    _put_out(switchboard, found, EndReason.REMOVED)


def sweep(switchboard: Switchboard) -> None:
    """End the sessions whose time is up, and the calls of those who are alone: phones, if they are
    for too long, and agents, once the call that they were sent for is over.
    """
    if switchboard.handover.has_begun:
        # The calls belong to the next process already.
        return
    now = switchboard.clock.now()
    for session in switchboard.sessions.overdue(now):
        logger.info("session %s of room %s has lasted long enough", session.id, session.room_id)
        room = switchboard.rooms.get(session.room_id)
        if room.auto_close and room.auto_close.type is AutoCloseType.DEACTIVATE:
            # Before the calls end, or somebody could join in between.
            switchboard.rooms.deactivate(room.id, now)
        present = switchboard.sessions.present(session.id)
        _put_each_out(switchboard, present, EndReason.SESSION_TIMEOUT)
    _put_each_out(switchboard, switchboard.dispatches.forsaken(), EndReason.ALONE)
    seconds = switchboard.settings.alone_seconds
    if seconds:
        lonely = switchboard.sessions.lonely(now - seconds * 1000)
        _put_each_out(switchboard, lonely, EndReason.ALONE)


def _put_out(switchboard: Switchboard, call_ids: list[str], reason: EndReason) -> None:
    for call_id in call_ids:
        switchboard.hang_up(switchboard.calls.get(call_id), reason, None)


def _put_each_out(switchboard: Switchboard, call_ids: list[str], reason: EndReason) -> None:
    """The same for a sweep, which one call that cannot be ended does not stop."""
    sparing = Sparing()
    for call_id in call_ids:
        with sparing.of(call_id), switchboard.together():
            _put_out(switchboard, [call_id], reason)
