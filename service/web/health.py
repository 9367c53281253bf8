"""Snapshot of the process's health: calls, queues, database and media engine."""

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
    """Counts from the database: ``calls`` that are up, and lifecycle webhooks that are ``pending``.

    Counting the calls took ``seconds``.
    """

    calls: int
    pending: int
    seconds: float


@dataclass(frozen=True, slots=True)
class HealthSnapshot:
    """``stored`` and ``engine_stats`` are ``None`` where database or engine do not answer.

    ``reports`` of the engine wait for the call recorder.
    """

    call_limit: int
    reports: int
    stored: Stored | None
    engine_stats: EngineStats | None


def snapshot() -> HealthSnapshot:
    """Read the process's health. Raises nothing, because it is read when something may be wrong."""
    its = services()
    try:
        engine_stats = its.engine.engine_stats()
    except TimeoutError:
        engine_stats = None
    stored = _stored(its.stores.calls, its.stores.outbox, its.clock)
    return HealthSnapshot(its.settings.max_calls, its.engine.reports.qsize(), stored, engine_stats)


def _stored(calls: Calls, outbox: Outbox, clock: Clock) -> Stored | None:
    try:
        began = clock.monotonic()
        live = calls.live()
        seconds = clock.monotonic() - began
        return Stored(live, outbox.count(), seconds)
    except Exception:
        logger.info("the database does not say how many calls there are", exc_info=True)
        return None
