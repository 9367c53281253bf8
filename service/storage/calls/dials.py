"""The count of numbers that providers were asked to dial, by day of UTC.

One row for each day, apart from the calls, whose history may be deleted.
"""

from __future__ import annotations

from sqlalchemy import Connection, delete, update
from sqlalchemy.dialects import postgresql, sqlite

from service.clock import Millis
from service.errors import Forbidden
from service.storage.tables import dials

DAY = 86_400_000


def count(connection: Connection, at: Millis, limit: int) -> None:
    """Count one more number. Raises ``Forbidden`` if ``limit`` have been dialled on this day.

    The day's row is locked until the transaction ends, so that concurrent transactions count each
    other.
    """
    day = at // DAY
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    begun = connection.execute(
        insert(dials).values(day=day, count=0).on_conflict_do_nothing(index_elements=[dials.c.day])
    )
    if begun.rowcount:
        # The day before stays: by the clock of another node it may still go on.
        connection.execute(delete(dials).where(dials.c.day < day - 1))
    counted = connection.execute(
        update(dials)
        .where(dials.c.day == day, dials.c.count < limit)
        .values(count=dials.c.count + 1)
    )
    if not counted.rowcount:
        raise Forbidden(f"DIAL_PER_DAY is {limit}, and as many numbers have been dialled today.")
