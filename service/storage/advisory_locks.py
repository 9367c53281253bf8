"""Advisory locks (Postgres), held until the end of the transaction. SQLite has one writer anyway.

Their numbers are arbitrary. Each is listed in the module that takes the lock.
"""

from __future__ import annotations

from zlib import crc32

from sqlalchemy import Connection, bindparam, func, select

# Built once: building takes longer than executing.
WHOLE = select(func.pg_advisory_xact_lock(bindparam("key")))
PART = select(func.pg_advisory_xact_lock(bindparam("key"), bindparam("part")))


def take_turns(connection: Connection, key: int, part: str | None = None) -> None:
    """Take the lock of a key, or of one part of it. Neither excludes the other.

    Two parts may share a lock, because only their hashes are compared.
    """
    if connection.dialect.name == "sqlite":
        return
    if part is None:
        connection.execute(WHOLE, {"key": key})
    else:
        # Postgres has signed numbers.
        connection.execute(PART, {"key": key, "part": crc32(part.encode()) - 2**31})
