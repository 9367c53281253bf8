"""Classification of database errors: the effect on this transaction and on later ones."""

from __future__ import annotations

import sqlite3
from enum import Enum, auto

from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

READ_ONLY = "25006"
"""SQLSTATE of a server or session that accepts no writes: a standby after a failover."""

CONTENDED_STATES = frozenset(
    {
        "55P03",  # lock_timeout
        "57014",  # statement_timeout, or a cancelled statement
        "40P01",  # deadlock
        "40001",  # serialization failure
        "25P03",  # idle_in_transaction_session_timeout
        "57P01",  # the session was terminated: the next one shows whether the server is away
        "57P05",  # idle_session_timeout
    }
)
AWAY_CLASSES = frozenset({"08", "57"})
"""SQLSTATE classes: connection lost, shutting down."""

UNWRITABLE_CLASSES = frozenset({"53", "58"})
"""SQLSTATE classes: out of resources (a full disk), system error."""

CONTENDED_CODES = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
UNWRITABLE_CODES = frozenset(
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_PROTOCOL,
    }
)


class Fault(Enum):
    CONTENDED = auto()
    """This transaction waited too long for a lock, or was chosen as a deadlock's victim."""

    AWAY = auto()
    """The database does not answer."""

    UNWRITABLE = auto()
    """The database answers, but the next write would fail as well."""


def fault(error: SQLAlchemyError, *, begun: bool = True) -> Fault | None:
    """Return the fault behind an error; ``None`` if the statement itself is at fault.

    The statement is never at fault where the transaction could not begin.
    """
    if isinstance(error, PoolTimeout):
        return Fault.CONTENDED
    if not begun:
        return Fault.AWAY
    if not isinstance(error, DBAPIError):
        return None
    if isinstance(error.orig, sqlite3.Error):
        return _of_sqlite(error.orig)
    state = sqlstate(error.orig)
    if state is None:
        # The error did not come from the server: the connection is lost.
        return Fault.AWAY if error.connection_invalidated else None
    if state in CONTENDED_STATES:
        return Fault.CONTENDED
    if state == READ_ONLY or state[:2] in UNWRITABLE_CLASSES:
        return Fault.UNWRITABLE
    return Fault.AWAY if state[:2] in AWAY_CLASSES else None


def is_contended(error: BaseException | None) -> bool:
    """Whether a lock that another transaction held caused the error, also at the begin."""
    while error is not None:
        if isinstance(error, SQLAlchemyError) and fault(error) is Fault.CONTENDED:
            return True
        error = error.__cause__
    return False


def sqlstate(error: BaseException | None) -> str | None:
    found: str | None = getattr(error, "sqlstate", None)
    return found


def _of_sqlite(error: sqlite3.Error) -> Fault | None:
    # Only errors that SQLite itself has raised have a code. Its low byte is the primary code.
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK) & 0xFF
    if code in CONTENDED_CODES:
        return Fault.CONTENDED
    return Fault.UNWRITABLE if code in UNWRITABLE_CODES else None
