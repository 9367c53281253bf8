"""The time base of the processes that serve, and of the process that follows them."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import delete, exists, select, update
from sqlalchemy.dialects import postgresql, sqlite

from service.clock import Millis
from service.storage.database import Database
from service.storage.database_time import DATABASE_NOW
from service.storage.tables import alive, time_base


@dataclass(frozen=True, slots=True)
class TimeBase:
    """The time by the steady clock at which the machine was booted. ``boot`` names that boot."""

    boot: str
    began_at: Millis


class TimeBases:
    def __init__(self, database: Database) -> None:
        self._database = database

    def now(self) -> Millis:
        """Return the time by the database's clock."""
        with self._database.read() as connection:
            return connection.execute(select(DATABASE_NOW)).scalar_one()

    def find(self, boot: str) -> TimeBase | None:
        """Return the time base of the processes of this boot, if any has stored one."""
        with self._database.read() as connection:
            query = select(time_base).where(time_base.c.boot == boot)
            row = connection.execute(query).one_or_none()
        return None if row is None else TimeBase(row.boot, row.began_at)

    def save(self, base: TimeBase) -> None:
        """Store the base of this boot, and forget those of others."""
        with self._database.write() as connection:
            is_sqlite = connection.dialect.name == "sqlite"
            insert = sqlite.insert if is_sqlite else postgresql.insert
            new = insert(time_base).values(boot=base.boot, began_at=base.began_at)
            changed = {"began_at": base.began_at}
            connection.execute(
                new.on_conflict_do_update(index_elements=[time_base.c.boot], set_=changed)
            )
            connection.execute(delete(time_base).where(time_base.c.boot != base.boot))

    def replace(self, before: TimeBase, base: TimeBase) -> bool:
        """Replace a base while no call is up. Returns false where one is, or another process has
        replaced the base.
        """
        unchanged = time_base.c.boot == before.boot, time_base.c.began_at == before.began_at
        change = update(time_base).where(*unchanged, ~exists().where(alive()))
        with self._database.write() as connection:
            return connection.execute(change.values(began_at=base.began_at)).rowcount > 0
