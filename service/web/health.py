"""How the process fares right now: its calls, its queues, its database and its media engine."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from service.clock import Clock
from service.media.engine.stats import EngineStats
from service.storage.calls.calls import Calls
from service.storage.webhooks.outbox import Outbox
from service.web.services import services

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Stored:
    """What the database says: ``calls`` that are up, and lifecycle webhooks that are ``pending``.

    It took ``seconds`` to count the calls.
    """

    calls: int
    pending: int
    seconds: float


@dataclass(frozen=True, slots=True)
class HealthSnapshot:
    """``stored`` and ``figures`` are ``None`` where database or engine do not answer.

    ``reports`` of the engine wait for the ledger.
    """

    call_limit: int
    reports: int
    stored: Stored | None
    figures: EngineStats | None


def snapshot() -> HealthSnapshot:
    """Read the process's state. Raises nothing: it is read because something may be wrong."""
    board = services()
    try:
        figures = board.engine.engine_stats()
    except TimeoutError:
        figures = None
    stored = _stored(board.stores.calls, board.stores.outbox, board.clock)
    return HealthSnapshot(board.settings.max_calls, board.engine.reports.qsize(), stored, figures)


def _stored(calls: Calls, outbox: Outbox, clock: Clock) -> Stored | None:
    try:
        began = clock.monotonic()
        live = calls.live()
        seconds = clock.monotonic() - began
        return Stored(live, outbox.count(), seconds)
    except Exception:
        logger.info("the database does not say how many calls there are", exc_info=True)
        return None
