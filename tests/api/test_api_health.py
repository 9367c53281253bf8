"""Health and readiness, open to whoever probes."""

from __future__ import annotations

from typing import Any

from flask import Flask
from sqlalchemy import text

from service.storage.database import Database


def test_healthz_is_ok_whatever_is_wrong(app: Flask, engine: Any) -> None:
    engine.answers = False
    app.extensions["patchbay"].handover.begin()
    response = app.test_client().get("/healthz")
    assert (response.status_code, response.data) == (200, b'{"status":"ok"}')


def test_readyz_lists_every_check(app: Flask) -> None:
    response = app.test_client().get("/readyz")
    assert response.status_code == 200
    assert response.data == (
        b'{"status":"ready","checks":{"database":"ok","engine":"ok","draining":"ok"}}'
    )


def test_readyz_is_503_and_says_what_is_wrong(app: Flask, engine: Any) -> None:
    engine.answers = False
    app.extensions["patchbay"].handover.begin()
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
    with sqlite_database.write() as connection:
        connection.execute(text("DROP TABLE alembic_version"))
    response = app.test_client().get("/readyz")
    assert (response.status_code, response.json["message"]) == (503, "Not ready: database.")
    assert response.json["checks"]["database"] != "ok"
