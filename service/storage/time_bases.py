"""The time base of the running process, for the process that follows it. There is one row."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import delete, insert, select, update

from service.clock import Millis
from service.storage.database import Database
from service.storage.tables import time_base


@dataclass(frozen=True, slots=True)
class TimeBase:
    """The time by the steady clock at which the machine was booted. ``boot`` names that boot."""

    boot: str
    began_at: Millis


class TimeBases:
    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self) -> TimeBase | None:
        with self._database.read() as connection:
            row = connection.execute(select(time_base).limit(1)).one_or_none()
        return None if row is None else TimeBase(row.boot, row.began_at)

    def save(self, base: TimeBase) -> None:
        values = {"boot": base.boot, "began_at": base.began_at}
        with self._database.write() as connection:
            same = update(time_base).where(time_base.c.boot == base.boot).values(**values)
            if not connection.execute(same).rowcount:
                connection.execute(delete(time_base))
                connection.execute(insert(time_base).values(**values))
