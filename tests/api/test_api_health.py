"""Health and readiness probes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from service.app import create_app
from service.media.engine.engine import Engine
from service.settings import Settings
from service.storage.database import Database
from service.web.services import services_of
from tests.support.clocks import FakeClock
from tests.support.dying_threads import kill, newest
from tests.support.missing_tables import missing_table


def test_healthz_is_ok_without_database_and_engine(app: Flask, engine: Any) -> None:
    engine.answers = False
    services_of(app).serving.begin_drain()
    response = app.test_client().get("/healthz")
    assert (response.status_code, response.data) == (200, b'{"status":"ok"}')


def test_readyz_lists_every_check(app: Flask) -> None:
    response = app.test_client().get("/readyz")
    assert response.status_code == 200
    assert response.data == (
        b'{"status":"ready","checks":{"database":"ok","engine":"ok","draining":"ok"}}'
    )


def test_readyz_is_503_with_the_failed_checks(app: Flask, engine: Any) -> None:
    engine.answers = False
    services_of(app).serving.begin_drain()
    response = app.test_client().get("/readyz")
    assert response.status_code == 503
    assert response.json == {
        "message": "Not ready: engine, draining.",
        "statusCode": 503,
        "status": "not ready",
        "checks": {
            "database": "ok",
            "engine": "does not answer",
            "draining": "the process is ending",
        },
    }


def test_readyz_notices_a_database_without_a_schema(app: Flask, sqlite_database: Database) -> None:
    with missing_table(sqlite_database, "alembic_version"):
        response = app.test_client().get("/readyz")
    assert (response.status_code, response.json["message"]) == (503, "Not ready: database.")
    assert response.json["checks"]["database"] != "ok"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_healthz_names_dead_threads(tmp_path: Path, clock: FakeClock) -> None:
    settings = Settings.from_env(
        {"API_KEY": "key", "API_SECRET": "secret" * 8, "DATA_DIR": str(tmp_path)}
    )
    app = create_app(settings, clock)
    client, engine = app.test_client(), services_of(app).engine
    engine.stats([])
    assert client.get("/healthz").status_code == 200
    kill("engine", lambda: engine.release("no-such-call", "go on"))
    response = client.get("/healthz")
    assert (response.status_code, response.json) == (
        503,
        {"message": "Threads have ended: engine.", "statusCode": 503, "status": "dead"},
    )
    services_of(app).close()


def test_draining_engine_is_not_dead(clock: FakeClock) -> None:
    engine = Engine(clock)
    engine.stats([])
    engine.give_back()
    newest("engine").join(30)
    assert engine.is_alive
    engine.stop()
