"""The time by which heartbeats and leases are judged, which is the same for all nodes.

On Postgres it is the server's. SQLite is used by processes of one machine only, so it is the
machine's monotonic clock there: setting the wall clock lets no heartbeat lapse.
"""

from __future__ import annotations

import time

from sqlalchemy import BigInteger, ColumnElement, bindparam, cast, extract, func

from service.storage.database import Database


def time_of(database: Database) -> ColumnElement[int]:
    """Return an expression for the time in milliseconds when its statement is executed."""
    if database.file is None:
        return cast(extract("epoch", func.clock_timestamp()) * 1000, BigInteger)
    return bindparam("monotonic", callable_=_monotonic, type_=BigInteger)


def _monotonic() -> int:
    return int(time.monotonic() * 1000)
