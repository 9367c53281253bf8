"""What is wrong with what the process needs to take a call, in a few words; ``None`` if nothing."""

from __future__ import annotations

from collections.abc import Mapping

from service.handover import Handover
from service.media.engine import Engine
from service.storage.database import Database


def found(database: Database, engine: Engine, handover: Handover) -> Mapping[str, str | None]:
    return {
        "database": _database(database),
        "engine": _engine(engine),
        "draining": "the process is ending" if handover.has_begun else None,
    }


def _database(database: Database) -> str | None:
    try:
        database.check()
    except Exception as error:  # noqa: BLE001 - whatever the driver raises, it is not there
        # The driver's text may hold the address: only the class is told.
        return f"not reachable ({type(error.__cause__ or error).__name__})"
    return None


def _engine(engine: Engine) -> str | None:
    try:
        engine.stats([])
    except TimeoutError:
        return "does not answer"
    return None
