"""Rooms: the durable ids that hosts of sessions have."""

from __future__ import annotations

import secrets
import string
from dataclasses import dataclass

from sqlalchemy import insert, or_, select
from sqlalchemy.exc import IntegrityError

from service.storage.database import Database
from service.storage.tables import rooms
from service.times import Millis


@dataclass(frozen=True, slots=True)
class Room:
    id: str


class Rooms:
    def __init__(self, database: Database) -> None:
        self._database = database

    def ensure(self, room_id: str, at: Millis) -> Room:
        """The room of this id or custom id; an unknown one is created with exactly that id."""
        return self._find(room_id) or self._make(room_id, None, at)

    def named(self, custom_room_id: str, at: Millis) -> Room:
        """The room of this custom id, created if need be."""
        alphabet = string.ascii_lowercase + string.digits
        parts = ("".join(secrets.choice(alphabet) for _ in range(4)) for _ in range(3))
        return self._find(custom_room_id) or self._make("-".join(parts), custom_room_id, at)

    def _find(self, key: str) -> Room | None:
        with self._database.read() as connection:
            row = connection.execute(
                select(rooms.c.room_id).where(
                    or_(rooms.c.room_id == key, rooms.c.custom_room_id == key)
                )
            ).first()
            return None if row is None else Room(row.room_id)

    def _make(self, room_id: str, custom: str | None, at: Millis) -> Room:
        try:
            with self._database.write() as connection:
                connection.execute(
                    insert(rooms).values(room_id=room_id, custom_room_id=custom, created_at=at)
                )
            return Room(room_id)
        except IntegrityError:
            found = self._find(custom or room_id)
            if found is None:
                raise
            return found
