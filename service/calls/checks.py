"""What is wrong with what the process needs to take a call, in a few words; ``None`` if nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import monotonic

from service.calls.handover import Drain
from service.media.engine.engine import Engine
from service.storage.database import Database

BEAT_SECONDS = 15.0
"""How long the ledger may write nothing before readiness reports it."""


class Pulse:
    """When the ledger last had everything written. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._at: float | None = None

    def beat(self) -> None:
        self._at = self._clock()

    @property
    def is_weak(self) -> bool:
        """Never before the first beat: the ledger may not have been started."""
        return self._at is not None and self._clock() - self._at > BEAT_SECONDS


def found(
    database: Database, engine: Engine, handover: Drain, pulse: Pulse
) -> Mapping[str, str | None]:
    return {
        "database": _database(database, handover, pulse),
        "engine": _engine(engine),
        "draining": "the process is ending" if handover.has_begun else None,
    }


def _database(database: Database, handover: Drain, pulse: Pulse) -> str | None:
    try:
        database.check()
    except Exception as error:  # noqa: BLE001 - whatever the driver raises, it is not there
        # The driver's text may hold the address: only the class is told.
        return f"not reachable ({type(error.__cause__ or error).__name__})"
    if handover.is_waiting:
        return "another server has it"
    return "nothing is written" if pulse.is_weak else None


def _engine(engine: Engine) -> str | None:
    try:
        engine.stats([])
    except TimeoutError:
        return "does not answer"
    return None
