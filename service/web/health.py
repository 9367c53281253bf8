"""The health of the process: readiness, calls, queues, database and media engine."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.clock import Clock
from service.media.engine.engine import Engine
from service.media.engine.stats import EngineStats
from service.storage.calls.calls import Calls
from service.storage.webhooks.outbox import Outbox
from service.telemetry import log_output
from service.web.services import Services, services

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
class ProcessSnapshot:
    """One process of the machine. ``node`` is ``None`` where it is the only one.

    ``reports`` of the engine wait for the call recorder. ``engine_stats`` is ``None`` where the
    engine does not answer.
    """

    node: str | None
    pid: int
    threads: int
    log_lines_dropped: int
    reports: int
    engine_stats: EngineStats | None


@dataclass(frozen=True, slots=True)
class HealthSnapshot:
    """``stored`` is ``None`` where the database does not answer. This process is the first one."""

    call_limit: int
    stored: Stored | None
    processes: tuple[ProcessSnapshot, ...]


def snapshot() -> HealthSnapshot:
    """Read the machine's health. Raises nothing, because it is read when something may be wrong."""
    known = services()
    stored = _stored(known.stores.calls, known.stores.outbox, known.clock)
    return HealthSnapshot(known.settings.max_calls, stored, (_process(known.engine),))


def _process(engine: Engine) -> ProcessSnapshot:
    try:
        engine_stats = engine.engine_stats()
    except TimeoutError:
        engine_stats = None
    return ProcessSnapshot(
        node=None,
        pid=os.getpid(),
        threads=threading.active_count(),
        log_lines_dropped=log_output.dropped(),
        reports=engine.reports.qsize(),
        engine_stats=engine_stats,
    )


def _stored(calls: Calls, outbox: Outbox, clock: Clock) -> Stored | None:
    try:
        began = clock.monotonic()
        live = calls.live()
        seconds = clock.monotonic() - began
        return Stored(live, outbox.count(), seconds)
    except Exception:
        logger.info("the database does not say how many calls there are", exc_info=True)
        return None


def checks() -> Mapping[str, str | None]:
    """Return for each part that a call needs its problem, in a few words, or ``None``."""
    known = services()
    return {
        "database": _database_problem(known),
        "engine": _engine_problem(known.engine),
        "draining": "the process is ending" if known.serving.is_draining else None,
    }


def live_stats(call_ids: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
    """Return the statistics of those calls that have a socket, by call id."""
    try:
        return services().media.stats(call_ids)
    except TimeoutError:
        logger.warning("the media engine gave no statistics in time")
        return {}


def _database_problem(known: Services) -> str | None:
    try:
        known.database.check()
    except Exception as error:  # noqa: BLE001 - the driver's exceptions have no common class
        # The driver's text may hold the address, so only the class is shown.
        return f"not reachable ({type(error.__cause__ or error).__name__})"
    if known.serving.is_waiting:
        return "another server has it"
    return "nothing is written" if known.recorder_thread.heartbeat.is_overdue else None


def _engine_problem(engine: Engine) -> str | None:
    try:
        engine.stats([])
    except TimeoutError:
        return "does not answer"
    return None
