"""The health endpoint."""

from __future__ import annotations

import logging
from typing import Any

import jwt
import pytest
from flask import Flask

from service.media.engine.stats import EngineStats, Frames
from service.storage.database import Database
from service.web.services import services_of
from tests.support.apps import API_KEY, API_SECRET, build
from tests.support.clocks import FakeClock
from tests.support.missing_tables import missing_table


@pytest.fixture
def app(sqlite_database: Database, clock: FakeClock) -> Flask:
    return build(sqlite_database, clock)


def health(app: Flask) -> Any:
    token = jwt.encode({"apikey": API_KEY}, API_SECRET, algorithm="HS256")
    answer = app.test_client().get("/console/api/health", headers={"Authorization": token})
    assert answer.status_code == 200
    assert API_SECRET not in answer.text
    assert answer.json is not None
    return answer.json["data"]


def test_health_reports_engine_database_and_settings(app: Flask, clock: FakeClock) -> None:
    engine = services_of(app).engine
    recent = tuple(number / 1000 for number in range(101))
    engine.counted = EngineStats(recent=recent, frames=Frames(received=10, dropped=1), sockets=2)
    clock.advance(90)
    found = health(app)
    assert found["upMs"] == 90_000
    assert found["engine"]["lateMs"] == {"p50": 50.0, "p99": 99.0}
    assert found["engine"]["frames"]["dropped"] == 1
    assert found["database"]["stored"]["calls"] == 0
    assert found["settings"]["MAX_CALLS"] == found["callLimit"] == 200
    assert found["settings"]["HOLD_SECONDS"] == 3
    assert found["settings"]["DIAL_ALLOWED"] == "*"


def test_unavailable_engine_and_database_are_null(app: Flask, sqlite_database: Database) -> None:
    services_of(app).engine.answers = False
    with missing_table(sqlite_database, "calls"):
        found = health(app)
    assert (found["engine"], found["database"]["stored"]) == (None, None)


def test_recent_warnings_are_listed_newest_first(app: Flask) -> None:
    troubles = services_of(app).troubles
    for message in ("first", "last"):
        troubles.handle(logging.makeLogRecord({"levelname": "WARNING", "msg": message}))
    assert [one["message"] for one in health(app)["troubles"]] == ["last", "first"]


def test_health_requires_a_session(app: Flask) -> None:
    assert app.test_client().get("/console/api/health").status_code == 401
