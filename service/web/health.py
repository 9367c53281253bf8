"""The health of this process and of the nodes beside it: readiness, calls, queues and engines."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.calls.serving_state import ServingState
from service.clock import Clock
from service.cluster.process_stats import ProcessStats
from service.media.engine.engine import Engine
from service.storage.calls.calls import Calls
from service.storage.webhooks.outbox import Outbox
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
class HealthSnapshot:
    """``stored`` is ``None`` where the database does not answer. This process is the first one.

    ``call_limit`` is that of all nodes, as ``stored`` counts the calls of all.
    """

    call_limit: int
    stored: Stored | None
    processes: tuple[ProcessStats, ...]


def snapshot() -> HealthSnapshot:
    """Read the health of all nodes that answer. Raises nothing, because it is read when something
    may be wrong.
    """
    known = services()
    processes = known.workers.processes()
    return _snapshot(known, processes, len(processes))


def machine_snapshot() -> HealthSnapshot:
    """Read the health of this machine's processes. Raises nothing."""
    known = services()
    processes = known.workers.processes_of_machine()
    return _snapshot(known, processes, len(processes) + known.workers.count_elsewhere())


def _snapshot(
    known: Services, processes: tuple[ProcessStats, ...], node_count: int
) -> HealthSnapshot:
    stored = _stored(known.stores.calls, known.stores.outbox, known.clock)
    return HealthSnapshot(known.settings.max_calls * node_count, stored, processes)


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
        "draining": _drain_problem(known.serving),
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
        return known.serving.waits_for
    return "nothing is written" if known.recorder_thread.heartbeat.is_overdue else None


def _drain_problem(serving: ServingState) -> str | None:
    """Return no problem where another node takes the calls of this one."""
    is_last = serving.is_draining and serving.refusal is not None
    return "the process is ending" if is_last else None


def _engine_problem(engine: Engine) -> str | None:
    try:
        engine.stats([])
    except TimeoutError:
        return "does not answer"
    return None
