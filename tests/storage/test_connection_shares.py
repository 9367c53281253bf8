"""The workers of a machine share the connections to Postgres."""

from __future__ import annotations

import pytest

from service.settings import Settings
from service.storage import connection_shares

POSTGRES = "postgres://host/name"


def settings_of(**env: str) -> Settings:
    return Settings.from_env({"API_KEY": "key", "API_SECRET": "secret"} | env)


@pytest.mark.parametrize(
    ("total", "workers", "each", "most"),
    [
        ("", 4, 10, 64),
        ("8", 1, 8, 4),
        ("8", 2, 4, 4),
        ("8", 3, 2, 4),
        ("8", 17, 2, 4),
        ("100", 4, 10, 50),
        ("640", 64, 10, 64),
    ],
)
def test_workers_share_the_connections_to_postgres(
    total: str, workers: int, each: int, most: int
) -> None:
    settings = settings_of(
        DATABASE_URL=POSTGRES, DATABASE_CONNECTIONS=total, WEB_CONCURRENCY=str(workers)
    )
    assert connection_shares.of_worker(settings) == each
    assert connection_shares.most_workers(settings) == most


def test_workers_share_no_connections_to_sqlite() -> None:
    settings = settings_of(DATABASE_CONNECTIONS="8", WEB_CONCURRENCY="8")
    assert connection_shares.of_worker(settings) == 10
    assert connection_shares.most_workers(settings) == 64
