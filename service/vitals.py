"""How the process fares right now: its calls, its queues, its database and its media engine."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from service.media.engine import Engine
from service.media.figures import Figures
from service.storage.calls import Calls
from service.storage.outbox import Outbox
from service.times import Clock

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
class Vitals:
    """``stored`` and ``figures`` are ``None`` where database or engine do not answer.

    ``reports`` of the engine wait for the ledger.
    """

    call_limit: int
    reports: int
    stored: Stored | None
    figures: Figures | None


def taken(calls: Calls, outbox: Outbox, engine: Engine, clock: Clock, call_limit: int) -> Vitals:
    """Raises nothing: whoever asks does so because something may be wrong."""
    try:
        figures = engine.figures()
    except TimeoutError:
        figures = None
    return Vitals(call_limit, engine.reports.qsize(), _stored(calls, outbox, clock), figures)


def _stored(calls: Calls, outbox: Outbox, clock: Clock) -> Stored | None:
    try:
        began = clock.monotonic()
        live = calls.live()
        seconds = clock.monotonic() - began
        return Stored(live, outbox.count(), seconds)
    except Exception:
        logger.info("the database does not say how many calls there are", exc_info=True)
        return None
