"""Who is in which session, written in the transactions that move calls.

A participant stays from the moment its call is answered until the call ends. A socket that is lost
and comes back changes nothing here, so that a restart of the process does not either. Whoever
comes in here has locked the call; the sessions it touches are locked after it, in one order.
"""

from __future__ import annotations

from sqlalchemy import Connection, String, bindparam, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from service.model import Call
from service.rooms import AutoCloseType
from service.storage.tables import rooms, sessions, stays
from service.times import Millis

GO_ON = update(sessions).where(sessions.c.id == bindparam("session")).values(ended_at=None)
BEGIN = insert(sessions).values(
    region=func.coalesce(
        select(rooms.c.geo_fence).where(rooms.c.id == bindparam("room")).scalar_subquery(),
        bindparam("nearest", type_=String),
    )
)
LOCK = select(sessions.c.id).where(sessions.c.id == bindparam("session")).with_for_update()
LEFT = (
    update(stays)
    .where(stays.c.call_id == bindparam("call"), stays.c.left_at.is_(None))
    .values(left_at=bindparam("at"))
    .returning(stays.c.session_id)
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
    .returning(sessions.c.room_id)
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
    """The call is in this session, and in no other one, from now on.

    A session that has ended goes on: the media plane has let somebody in who was told its id
    before it ended, and nobody is told another one in the middle.
    """
    present = (stays.c.call_id == call.id, stays.c.left_at.is_(None))
    before = participant_id = None
    # Whoever was never answered was in no session yet, which is what most who join are.
    if call.answered_at is not None:
        stay = select(stays.c.session_id, stays.c.participant_id).where(*present)
        before, participant_id = connection.execute(stay).one_or_none() or (None, None)
    if (before, participant_id) == (session_id, call.participant.id):
        return
    if before is not None:
        for locked in sorted({before, session_id}):
            _lock(connection, locked)
        if before == session_id:
            # The same call under another participant id, which the session outlives.
            connection.execute(update(stays).where(*present).values(left_at=at))
        else:
            leave(connection, call.id, at)
    _open(connection, call, session_id, at)
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


def leave(connection: Connection, call_id: str, at: Millis) -> None:
    """The call is in no session any more. The last one to leave ends the session."""
    session_id = connection.scalar(LEFT, {"call": call_id, "at": at})
    if session_id is None:
        return
    # Two that leave at once would each see the other one still there.
    _lock(connection, session_id)
    if connection.execute(STILL_THERE, {"session": session_id}).first() is None:
        _end(connection, session_id, at)


def _open(connection: Connection, call: Call, session_id: str, at: Millis) -> None:
    """Let the session go on, or begin it, and lock it either way."""
    if connection.execute(GO_ON, {"session": session_id}).rowcount:
        return
    room_id = call.room_id or ""
    begun = {"id": session_id, "room_id": room_id, "started_at": at}
    try:
        with connection.begin_nested():
            connection.execute(BEGIN, {**begun, "room": room_id, "nearest": call.region})
    except IntegrityError:
        # Somebody else has begun it meanwhile.
        connection.execute(GO_ON, {"session": session_id})


def _end(connection: Connection, session_id: str, at: Millis) -> None:
    room_id = connection.scalar(END, {"session": session_id})
    # Such a room has had its one session.
    connection.execute(CLOSE, {"room": room_id, "at": at})


def _lock(connection: Connection, session_id: str) -> None:
    connection.execute(LOCK, {"session": session_id})
