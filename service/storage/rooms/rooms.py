"""Rooms: their names, and whether they are open.

Ids and customRoomIds share one name space, so a name has at most one room. A transaction that adds
a name holds an advisory lock from the look-up on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import (
    Connection,
    RowMapping,
    Select,
    String,
    bindparam,
    insert,
    or_,
    select,
    update,
)

from service.clock import Millis
from service.domain import ids
from service.domain.paging import Page
from service.domain.rooms import AutoClose, AutoCloseType, Room
from service.errors import NotFound
from service.storage.advisory_locks import take_turns
from service.storage.database import Database
from service.storage.listing import Newest, PageRequest, counted, counted_all, page_of
from service.storage.tables import rooms

NAMING = 7_300_003
"""Advisory lock (Postgres) under which names are looked up and added."""

NOT_FOUND = "Room not found."

KEY = bindparam("key", type_=String)
CALLED = select(rooms).where(
    or_(rooms.c.id == KEY, rooms.c.custom_id == KEY, rooms.c.object_id == KEY)
)


class Rooms:
    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, room: Room) -> Room:
        """Add the room, or return the one that has its customRoomId, unchanged.

        If an earlier call has created a room with that name as its id, that room gets this
        configuration.
        """
        with self._database.write() as connection:
            take_turns(connection, NAMING)
            known = _find(connection, room.custom_id) if room.custom_id else None
            if known is None or known.object_id == room.custom_id:
                _insert(connection, room)
                return room
            if known.custom_id is None:
                return _become(connection, known, room)
            return known

    def find(self, key: str) -> Room | None:
        """Return the room of this id, customRoomId or object id, if any."""
        with self._database.read() as connection:
            return _find(connection, key)

    def get(self, key: str) -> Room:
        """Return a room. Raises ``NotFound``."""
        found = self.find(key)
        if found is None:
            raise NotFound(NOT_FOUND)
        return found

    def ensure(self, room_id: str, at: Millis) -> Room:
        """Return the room of this name. An unknown one is made with the name as id."""
        return self.find(room_id) or self._make(room_id, at, room_id, None)

    def named(self, custom_room_id: str, at: Millis) -> Room:
        """Return the room of this name. An unknown one is made with the name as customRoomId."""
        return self.find(custom_room_id) or self._make(
            custom_room_id, at, ids.new_room_id(), custom_room_id
        )

    def page(
        self,
        *,
        room_id: str | None = None,
        query: str | None = None,
        number: int = 1,
        per_page: int = 20,
    ) -> Page[Room]:
        """Return a page of rooms, newest first. ``query`` is the whole id or customRoomId of a
        room.
        """
        conditions = []
        if room_id is not None:
            conditions.append(rooms.c.id == room_id)
        if query is not None:
            conditions.append(or_(rooms.c.id == query, rooms.c.custom_id == query))
        request = PageRequest(("rooms", room_id, query), number, per_page)
        everything = select(rooms.c.seq).where(*conditions)
        with self._database.listing() as connection:

            def read(most: int) -> Sequence[Room]:
                return LIST.read(self._database.lists, connection, conditions, request, most)

            count = counted(connection, everything)
            return page_of(request, count, read, lambda: counted_all(connection, everything))

    def deactivate(self, room_id: str, at: Millis) -> Room:
        """Close the room to new participants. Raises ``NotFound``."""
        return self._set_disabled(room_id, True, at)

    def activate(self, room_id: str, at: Millis) -> Room:
        """Open the room again. Raises ``NotFound``."""
        return self._set_disabled(room_id, False, at)

    def _set_disabled(self, room_id: str, disabled: bool, at: Millis) -> Room:
        with self._database.write() as connection:
            connection.execute(
                update(rooms)
                .where(rooms.c.id == room_id, rooms.c.disabled != disabled)
                .values(disabled=disabled, updated_at=at)
            )
            found = _find(connection, room_id)
            if found is None:
                raise NotFound(NOT_FOUND)
            return found

    def _make(self, name: str, at: Millis, room_id: str, custom_id: str | None) -> Room:
        with self._database.write() as connection:
            take_turns(connection, NAMING)
            known = _find(connection, name)
            if known is not None:
                return known
            room = Room(
                id=room_id,
                custom_id=custom_id,
                object_id=ids.new_object_id(),
                created_at=at,
                updated_at=at,
            )
            _insert(connection, room)
            return room


def _by_seq(connection: Connection, seqs: Select[Any]) -> list[Room]:
    newest = select(rooms).where(rooms.c.seq.in_(seqs)).order_by(rooms.c.seq.desc())
    return [_room(row) for row in connection.execute(newest).mappings()]


LIST = Newest(rooms, (rooms.c.seq,), _by_seq)


def _find(connection: Connection, key: str) -> Room | None:
    """Return the room of a name. Ids and customRoomIds take precedence over object ids."""
    found = [_room(row) for row in connection.execute(CALLED, {"key": key}).mappings()]
    return min(found, key=lambda room: key not in (room.id, room.custom_id), default=None)


def _insert(connection: Connection, room: Room) -> None:
    connection.execute(
        insert(rooms).values(
            id=room.id,
            object_id=room.object_id,
            disabled=room.disabled,
            created_at=room.created_at,
            **_configuration(room),
        )
    )


def _become(connection: Connection, known: Room, wanted: Room) -> Room:
    connection.execute(update(rooms).where(rooms.c.id == known.id).values(**_configuration(wanted)))
    return replace(
        wanted,
        id=known.id,
        object_id=known.object_id,
        disabled=known.disabled,
        created_at=known.created_at,
    )


def _configuration(room: Room) -> dict[str, Any]:
    """Return the columns that the client chooses when it creates a room."""
    close = room.auto_close
    return {
        "custom_id": room.custom_id,
        "geo_fence": room.geo_fence,
        "webhook": None if room.webhook is None else dict(room.webhook),
        "auto_close_type": close.type if close else None,
        "auto_close_minutes": close.minutes if close else None,
        "allowed_participant_ids": list(room.allowed_participant_ids),
        "options": dict(room.options),
        "updated_at": room.updated_at,
    }


def _room(row: RowMapping) -> Room:
    kind = row["auto_close_type"]
    return Room(
        id=row["id"],
        object_id=row["object_id"],
        custom_id=row["custom_id"],
        geo_fence=row["geo_fence"],
        disabled=row["disabled"],
        webhook=row["webhook"],
        auto_close=AutoClose(AutoCloseType(kind), row["auto_close_minutes"]) if kind else None,
        allowed_participant_ids=tuple(row["allowed_participant_ids"]),
        options=row["options"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )
