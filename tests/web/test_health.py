"""The problems that keep a process from taking calls, in the words of ``/readyz``."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from flask import Flask

from service.calls.recorder_thread import BEAT_SECONDS, Heartbeat
from service.calls.serving_state import NOT_SHARED
from service.storage.database import Database
from service.web.health import checks
from service.web.services import services_of
from tests.support.apps import ScriptedEngine, build
from tests.support.clocks import FakeClock

FINE = {"database": None, "engine": None, "draining": None}

Found = Callable[[Flask], Mapping[str, str | None]]


@pytest.fixture
def found() -> Found:
    """A function that asks for the checks of an app."""

    def ask(app: Flask) -> Mapping[str, str | None]:
        with app.app_context():
            return checks()

    return ask


def test_process_that_can_take_calls_has_no_problem(app: Flask, found: Found) -> None:
    assert found(app) == FINE


def test_draining_process_says_that_it_ends(app: Flask, found: Found) -> None:
    services_of(app).serving.begin_drain()
    assert found(app) == {**FINE, "draining": "the process is ending"}


def test_process_that_waits_for_another_is_not_ready(app: Flask, found: Found) -> None:
    serving = services_of(app).serving
    serving.is_waiting = True
    assert found(app) == {**FINE, "database": NOT_SHARED}
    serving.waits_for = "A node of version 9.9.9 serves from this database."
    assert found(app) == {**FINE, "database": serving.waits_for}


def test_recorder_that_writes_nothing_for_too_long_is_reported(
    app: Flask, clock: FakeClock, found: Found
) -> None:
    heartbeat = services_of(app).recorder_thread.heartbeat = Heartbeat(clock.monotonic)
    heartbeat.beat()
    assert found(app) == FINE
    clock.advance(BEAT_SECONDS + 1)
    assert found(app) == {**FINE, "database": "nothing is written"}


def test_engine_that_does_not_answer_is_reported(
    app: Flask, engine: ScriptedEngine, found: Found
) -> None:
    engine.answers = False
    assert found(app) == {**FINE, "engine": "does not answer"}


def test_unreachable_database_is_reported_without_its_address(
    clock: FakeClock, found: Found
) -> None:
    url = "postgresql+psycopg://someone:hunter2@127.0.0.1:1/nothing"
    problem = found(build(Database(url), clock))["database"]
    assert problem
    assert "hunter2" not in problem
    assert "127.0.0.1" not in problem
