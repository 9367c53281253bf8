"""Presences in sessions, written in the transactions that change calls.

A presence lasts from the answer to a call until its end. A socket that is lost and comes back
changes nothing here, and neither does a restart of the process. The caller has locked the call;
sessions are locked after it, by id where there are two, and then the room. The order of all locks
is in ``service/storage/__init__.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from sqlalchemy import Connection, String, bindparam, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from service.clock import Millis
from service.domain.calls import Call, EndReason
from service.domain.rooms import AutoCloseType
from service.domain.webhook_events import (
    RoomEvent,
    left_reason,
    participant_document,
    session_document,
)
from service.storage.tables import rooms, sessions, stays
from service.storage.webhooks.events import announce_room

Announcement: TypeAlias = tuple[RoomEvent, Mapping[str, Any]]

GO_ON = update(sessions).where(sessions.c.id == bindparam("session")).values(ended_at=None)
BEGIN = insert(sessions).values(
    region=func.coalesce(
        select(rooms.c.geo_fence).where(rooms.c.id == bindparam("room")).scalar_subquery(),
        bindparam("nearest", type_=String),
    )
)
LOCK = (
    select(sessions.c.room_id, sessions.c.started_at)
    .where(sessions.c.id == bindparam("session"))
    .with_for_update(key_share=True)
)
LEFT = (
    update(stays)
    .where(stays.c.call_id == bindparam("call"), stays.c.left_at.is_(None))
    .values(left_at=bindparam("at"))
    .returning(stays.c.session_id, stays.c.participant_id, stays.c.participant_name)
)
STILL_THERE = (
    select(stays.c.seq)
    .where(stays.c.session_id == bindparam("session"), stays.c.left_at.is_(None))
    .limit(1)
)
END = (
    update(sessions)
    .where(sessions.c.id == bindparam("session"))
    .values(
        ended_at=select(func.max(stays.c.left_at))
        .where(stays.c.session_id == bindparam("session"))
        .scalar_subquery()
    )
    .returning(sessions.c.ended_at)
)
CLOSE = (
    update(rooms)
    .where(
        rooms.c.id == bindparam("room"),
        rooms.c.auto_close_type == AutoCloseType.DEACTIVATE,
        rooms.c.disabled.is_(False),
    )
    .values(disabled=True, updated_at=bindparam("at"))
)


def join(connection: Connection, call: Call, session_id: str, at: Millis) -> None:
    """Put the call into this session, and out of any other.

    A session that has ended is reopened: its last leave and this join happened at the same time,
    and the media plane has already sent its id to the participant.
    """
    present = (stays.c.call_id == call.id, stays.c.left_at.is_(None))
    before = participant_id = None
    # A call that was never answered has no presence. Most calls that join are such.
    if call.answered_at is not None:
        stay = select(stays.c.session_id, stays.c.participant_id).where(*present)
        before, participant_id = connection.execute(stay).one_or_none() or (None, None)
    if (before, participant_id) == (session_id, call.participant.id):
        return
    if before is not None:
        for locked in sorted({before, session_id}):
            connection.execute(LOCK, {"session": locked})
        # The session continues for the same call under another participant id.
        leave(connection, call.id, at, goes_on=before == session_id)
    is_new = _open(connection, call, session_id, at)
    connection.execute(
        insert(stays),
        {
            "session_id": session_id,
            "call_id": call.id,
            "participant_id": call.participant.id,
            "participant_name": call.participant.name,
            "joined_at": at,
        },
    )
    room_id, who = call.room_id or "", call.participant
    came = participant_document(room_id, session_id, who.id, who.name, call.id)
    events: list[Announcement] = [(RoomEvent.PARTICIPANT_JOINED, came)]
    if is_new:
        started = session_document(room_id, session_id, at)
        events.insert(0, (RoomEvent.SESSION_STARTED, started))
    announce_room(connection, room_id, at, events)


def leave(
    connection: Connection,
    call_id: str,
    at: Millis,
    reason: EndReason | None = None,
    *,
    goes_on: bool = False,
) -> None:
    """Take the call out of its session. The last leave ends the session, unless it ``goes_on``.

    ``reason`` is the end reason of the call, if it has ended.
    """
    left = connection.execute(LEFT, {"call": call_id, "at": at}).one_or_none()
    if left is None:
        return
    session_id = left.session_id
    # Concurrent leaves would each see the other one still present.
    room_id, started_at = _lock(connection, session_id)
    went = participant_document(
        room_id, session_id, left.participant_id, left.participant_name, call_id
    )
    events: list[Announcement] = [
        (RoomEvent.PARTICIPANT_LEFT, {**went, "reason": left_reason(reason)})
    ]
    if not goes_on and connection.execute(STILL_THERE, {"session": session_id}).first() is None:
        ended_at = _end(connection, session_id, room_id, at)
        document = session_document(room_id, session_id, started_at, ended_at)
        events.append((RoomEvent.SESSION_ENDED, document))
    announce_room(connection, room_id, at, events)


def _open(connection: Connection, call: Call, session_id: str, at: Millis) -> bool:
    """Continue the session or begin it, and lock it either way. Returns whether it is new."""
    if connection.execute(GO_ON, {"session": session_id}).rowcount:
        return False
    room_id = call.room_id or ""
    begun = {"id": session_id, "room_id": room_id, "started_at": at}
    try:
        with connection.begin_nested():
            connection.execute(BEGIN, {**begun, "room": room_id, "nearest": call.region})
    except IntegrityError:
        # Another transaction has begun it in the meantime.
        connection.execute(GO_ON, {"session": session_id})
        return False
    return True


def _end(connection: Connection, session_id: str, room_id: str, at: Millis) -> Millis:
    """End the session at its latest leave, which may be before ``at``, and return that time."""
    ended_at: Millis = connection.execute(END, {"session": session_id}).scalar_one()
    # Such a room has only one session.
    connection.execute(CLOSE, {"room": room_id, "at": at})
    return ended_at


def _lock(connection: Connection, session_id: str) -> tuple[str, Millis]:
    """Lock the session until the end of the transaction; return its room and when it began."""
    room_id, started_at = connection.execute(LOCK, {"session": session_id}).one()
    return room_id, started_at
