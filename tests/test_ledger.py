"""The ledger's thread writes every report, keeps the deadlines, and ends when it is told to."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator

import pytest
from clocks import FakeClock
from records import a_connector
from switchboards import Desk, a_desk, ref_of

from service.ledger import Ledger
from service.media.reports import LegStarted, LegStep
from service.model import CallStatus, EndReason, LadderEvent
from service.storage.database import Database


@pytest.fixture
def desk(sqlite_database: Database, clock: FakeClock) -> Iterator[Desk]:
    with a_desk(sqlite_database, clock) as desk:
        yield desk


def test_everything_reported_before_the_stop_is_written(desk: Desk) -> None:
    connector = desk.connect(a_connector())
    spec = desk.switchboard.claim("twilio", ref_of(desk.ring(connector)))
    reports: queue.SimpleQueue = queue.SimpleQueue()
    ledger = Ledger(desk.switchboard, reports)
    ledger.start()
    reports.put(LegStarted(spec.call_id, spec.leg_id, "s1", 2_000))
    for at in range(10):
        reports.put(LegStep(spec.call_id, spec.leg_id, LadderEvent.FIRST_AUDIO_IN, at))
    ledger.stop()
    call = desk.call(connector)
    assert call.status is CallStatus.ANSWERED
    assert [step.at for step in call.steps][-10:] == list(range(10))


def test_starting_takes_over_calls_and_sweeps_deadlines(desk: Desk) -> None:
    connector = desk.connect(a_connector())
    desk.start(ref_of(desk.ring(connector)))
    ledger = Ledger(desk.switchboard, queue.SimpleQueue())
    ledger.start()
    ledger.stop()
    assert desk.call(connector).detached_at is not None

    desk.clock.advance(60)
    later = Ledger(desk.switchboard, queue.SimpleQueue())
    later.start()
    later.stop()
    assert desk.call(connector).end_reason is EndReason.CONNECTION_LOST


def test_a_second_start_starts_nothing(desk: Desk) -> None:
    ledger = Ledger(desk.switchboard, queue.SimpleQueue())
    ledger.start()
    threads = threading.active_count()
    ledger.start()
    assert threading.active_count() == threads
    ledger.stop()


def test_a_report_of_a_call_that_is_not_stored_holds_nothing_up(desk: Desk) -> None:
    connector = desk.connect(a_connector())
    spec = desk.switchboard.claim("twilio", ref_of(desk.ring(connector)))
    reports: queue.SimpleQueue = queue.SimpleQueue()
    ledger = Ledger(desk.switchboard, reports)
    ledger.start()
    reports.put(LegStarted("no-such-call", "no-such-leg", "s1", 2_000))
    reports.put(LegStarted(spec.call_id, spec.leg_id, "s1", 2_000))
    ledger.stop()
    assert desk.call(connector).status is CallStatus.ANSWERED
