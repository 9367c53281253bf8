"""What keeps a process from taking calls, in the words of ``/readyz``."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from service.calls.checks import BEAT_SECONDS, Pulse, found
from service.calls.handover import Drain
from service.media.engine.engine import Engine
from service.storage.database import Database
from tests.support.clocks import FakeClock


@pytest.fixture
def engine(clock: FakeClock) -> Iterator[Engine]:
    engine = Engine(clock)
    yield engine
    engine.stop()


def test_a_ledger_that_writes_nothing_for_too_long_is_reported(
    sqlite_database: Database, engine: Engine, clock: FakeClock
) -> None:
    pulse = Pulse(clock.monotonic)

    def problem() -> str | None:
        return found(sqlite_database, engine, Drain(), pulse)["database"]

    clock.advance(BEAT_SECONDS + 1)
    # It has never begun, as in a process that only serves the API.
    assert problem() is None
    pulse.beat()
    clock.advance(BEAT_SECONDS)
    assert problem() is None
    clock.advance(1)
    assert problem() == "nothing is written"
    pulse.beat()
    assert problem() is None


def test_a_server_that_waits_for_another_is_not_ready(
    sqlite_database: Database, engine: Engine
) -> None:
    handover = Drain()
    handover.is_waiting = True
    assert found(sqlite_database, engine, handover, Pulse())["database"] == "another server has it"
