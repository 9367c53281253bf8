"""The share of each worker of a machine in ``DATABASE_CONNECTIONS``."""

from __future__ import annotations

from service.settings import MOST_WORKERS, Settings
from service.storage.connections import POOL_SIZE

FEWEST = 2
"""A slow list may hold one connection of a worker, and its calls use the other."""


def of_worker(settings: Settings) -> int:
    """Return the number of connections to Postgres that each worker may open."""
    total = _total(settings)
    if total is None:
        return POOL_SIZE
    return max(FEWEST, min(total // settings.web_concurrency, POOL_SIZE))


def most_workers(settings: Settings) -> int:
    """Return the largest number of workers for which the connections are enough."""
    total = _total(settings)
    return MOST_WORKERS if total is None else min(total // FEWEST, MOST_WORKERS)


def _total(settings: Settings) -> int | None:
    return None if settings.database_kind == "SQLite" else settings.database_connections
