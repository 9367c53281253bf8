"""The recorder's thread writes every report, keeps the deadlines, and ends when it is told to."""

from __future__ import annotations

import logging
import queue
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace

import pytest

from service.calls.recorder_thread import BATCH, BEAT_SECONDS, Heartbeat, RecorderThread
from service.domain.calls import CallStatus, EndReason, LadderEvent
from service.domain.loudness import Loudness
from service.domain.reconnection import REATTACH_SECONDS
from service.media.rooms.leg import LegSpec
from service.media.rooms.reports import LegClosed, LegStarted, LegStep, Report
from service.storage.calls.calls import START_MILLIS
from service.storage.calls.rows import locked
from service.storage.database import Database
from service.web.health import HealthSnapshot
from service.web.prometheus import exposition
from tests.support.clocks import FakeClock
from tests.support.dying_threads import kill
from tests.support.harness import Harness, a_harness, events, ref_of
from tests.support.missing_tables import missing_table
from tests.support.records import a_connector
from tests.support.statements import said


@pytest.fixture
def harness(database: Database, clock: FakeClock) -> Iterator[Harness]:
    with a_harness(database, clock) as harness:
        yield harness


@pytest.fixture
def specs(harness: Harness) -> list[LegSpec]:
    """Three calls whose sockets are there and have not started."""
    connector = harness.connect(a_connector())
    return [
        harness.admission.claim("twilio", ref_of(harness.webhook(connector, CallSid=f"CA{number}")))
        for number in range(3)
    ]


def started(spec: LegSpec) -> LegStarted:
    return LegStarted(spec.call_id, spec.leg_id, "s1", 2_000)


def heard(spec: LegSpec) -> LegStep:
    return LegStep(spec.call_id, spec.leg_id, LadderEvent.FIRST_AUDIO_IN, 2_001)


def closed(spec: LegSpec) -> LegClosed:
    return LegClosed(spec.call_id, spec.leg_id, EndReason.CALLER_HUNG_UP, "stop", {}, 3_000)


def thread_with(harness: Harness, *reports: Report) -> RecorderThread:
    """A thread that has these reports to write."""
    waiting: queue.SimpleQueue[Report] = queue.SimpleQueue()
    for report in reports:
        waiting.put(report)
    return harness.recorder_thread(waiting)


def lost(harness: Harness) -> float:
    """The reports that have been given up."""
    snapshot = HealthSnapshot(200, None, ())
    text = exposition(harness.services.metrics, snapshot).decode()
    return float(re.search(r"^patchbay_reports_lost_total (\S+)$", text, re.MULTILINE)[1])


class Alarm(logging.Handler):
    """Says when a line was logged that holds some words."""

    def __init__(self, words: str) -> None:
        super().__init__()
        self.raised = threading.Event()
        self._words = words

    def emit(self, record: logging.LogRecord) -> None:
        if self._words in record.getMessage():
            self.raised.set()


@pytest.fixture
def failed() -> Iterator[threading.Event]:
    """Set once a report could not be written."""
    alarm = Alarm("could not be written")
    logger = logging.getLogger("service.calls.recorder_thread")
    logger.addHandler(alarm)
    yield alarm.raised
    logger.removeHandler(alarm)


@pytest.fixture
def mend(database: Database, specs: list[LegSpec]) -> Iterator[Callable[[], None]]:
    """The sockets that are there can end, and none can start, until this is called."""
    with ExitStack() as stack:
        stack.enter_context(missing_table(database, "sessions"))
        yield stack.close


def test_everything_reported_before_the_stop_is_written(harness: Harness) -> None:
    connector = harness.connect(a_connector())
    spec = harness.admission.claim("twilio", ref_of(harness.webhook(connector)))
    reports: queue.SimpleQueue = queue.SimpleQueue()
    thread = harness.recorder_thread(reports)
    thread.start()
    reports.put(LegStarted(spec.call_id, spec.leg_id, "s1", 2_000))
    for at in range(10):
        reports.put(LegStep(spec.call_id, spec.leg_id, LadderEvent.FIRST_AUDIO_IN, at))
    thread.stop()
    call = harness.call(connector)
    assert call.status is CallStatus.ANSWERED
    assert [step.at for step in call.steps][-10:] == list(range(10))


def test_takeover_restarts_the_deadline_of_each_call(harness: Harness) -> None:
    connector = harness.connect(a_connector())
    harness.start(ref_of(harness.webhook(connector)))
    thread = harness.recorder_thread(queue.SimpleQueue())
    thread.start()
    thread.stop()
    assert harness.call(connector).detached_at is not None

    harness.clock.advance(60)
    later = harness.recorder_thread(queue.SimpleQueue())
    later.start()
    later.stop()
    assert harness.call(connector).status is CallStatus.ANSWERED

    harness.clock.advance(REATTACH_SECONDS)
    harness.deadlines.sweep()
    assert harness.call(connector).end_reason is EndReason.CONNECTION_LOST


def test_loudness_is_written_with_the_close_of_a_leg(
    harness: Harness, specs: list[LegSpec]
) -> None:
    spec, other, _ = specs
    loudness = Loudness(spec.leg_id, 2_000, b"\xf0", b"\x00")
    thread = thread_with(
        harness, started(spec), replace(closed(spec), loudness=loudness), closed(other)
    )
    thread.start()
    thread.stop()
    assert harness.stores.loudness.of(spec.call_id) == [loudness]
    assert harness.stores.loudness.of(other.call_id) == []


def test_second_start_starts_nothing(harness: Harness) -> None:
    thread = harness.recorder_thread(queue.SimpleQueue())
    thread.start()
    threads = threading.active_count()
    thread.start()
    assert threading.active_count() == threads
    thread.stop()


def test_report_of_an_unknown_call_delays_no_other(harness: Harness) -> None:
    connector = harness.connect(a_connector())
    spec = harness.admission.claim("twilio", ref_of(harness.webhook(connector)))
    reports: queue.SimpleQueue = queue.SimpleQueue()
    thread = harness.recorder_thread(reports)
    thread.start()
    reports.put(LegStarted("no-such-call", "no-such-leg", "s1", 2_000))
    reports.put(LegStarted(spec.call_id, spec.leg_id, "s1", 2_000))
    thread.stop()
    assert harness.call(connector).status is CallStatus.ANSWERED


def test_gathered_reports_are_written_in_one_transaction(
    harness: Harness, specs: list[LegSpec]
) -> None:
    thread = thread_with(
        harness, *(report for spec in specs for report in (started(spec), heard(spec)))
    )
    with said() as statements:
        thread.start()
        thread.stop()
    joins = [at for at, text in enumerate(statements) if text.startswith("INSERT INTO stays")]
    assert len(joins) == len(specs)
    assert "COMMIT" not in statements[joins[0] : joins[-1]]
    for spec in specs:
        call = harness.calls.get(spec.call_id)
        assert call.status is CallStatus.ANSWERED
        assert events(call)[-2:] == [LadderEvent.START, LadderEvent.FIRST_AUDIO_IN]


def test_one_transaction_holds_a_bounded_number_of_reports(
    harness: Harness, specs: list[LegSpec]
) -> None:
    thread = thread_with(harness, started(specs[0]), *[heard(specs[0])] * (2 * BATCH))
    with said() as statements:
        thread.start()
        thread.stop()
    batches = "".join(
        "." if text.startswith("INSERT INTO steps") else " " if text == "COMMIT" else ""
        for text in statements
    )
    assert [len(each) for each in batches.split()] == [BATCH, BATCH, 1]


def test_failed_report_is_retried_before_later_reports_of_its_call(
    harness: Harness, specs: list[LegSpec], mend: Callable[[], None], failed: threading.Event
) -> None:
    first, other, _ = specs
    thread = thread_with(harness, closed(other), started(first), heard(first))
    with harness.waiters.slot(first.call_id) as answered:
        thread.start()
        assert failed.wait(30)
        assert harness.calls.get(other.call_id).end_reason is EndReason.CALLER_HUNG_UP
        assert harness.calls.get(first.call_id).status is CallStatus.INCOMING
        mend()
        assert answered is not None
        assert answered.wait(30)
    thread.stop()
    assert events(harness.calls.get(first.call_id))[-2:] == [
        LadderEvent.START,
        LadderEvent.FIRST_AUDIO_IN,
    ]


def test_sweeps_wait_for_reports_that_could_not_be_written(
    harness: Harness, specs: list[LegSpec], mend: Callable[[], None], failed: threading.Event
) -> None:
    first, later, _ = specs
    reports: queue.SimpleQueue[Report] = queue.SimpleQueue()
    reports.put(started(first))
    thread = harness.recorder_thread(reports)
    thread.start()
    assert failed.wait(30)
    reports.put(replace(started(later), at=harness.clock.now()))
    harness.clock.advance(START_MILLIS // 1000 + 1)
    with harness.waiters.slot(later.call_id) as news:
        mend()
        assert news is not None
        assert news.wait(30)
    thread.stop()
    assert harness.calls.get(later.call_id).status is CallStatus.ANSWERED


@pytest.mark.usefixtures("mend")
def test_report_that_always_fails_is_given_up_and_counted(
    harness: Harness, specs: list[LegSpec], failed: threading.Event
) -> None:
    first, other, later = specs
    reports: queue.SimpleQueue[Report] = queue.SimpleQueue()
    reports.put(started(first))
    thread = harness.recorder_thread(reports)
    thread.start()
    assert failed.wait(30)
    # No other call waits for it, and what its own call reports next is written after it.
    with harness.waiters.slot(other.call_id) as over:
        reports.put(closed(other))
        assert over is not None
        assert over.wait(30)
    with harness.waiters.slot(first.call_id) as over:
        reports.put(closed(first))
        assert over is not None
        assert over.wait(30)
    assert lost(harness) == 1
    with harness.waiters.slot(later.call_id) as over:
        harness.clock.advance(START_MILLIS // 1000 + 1)
        assert over is not None
        assert over.wait(30)
    thread.stop()
    assert harness.calls.get(later.call_id).end_reason is EndReason.NO_SOCKET


@pytest.mark.usefixtures("mend")
def test_deadlines_are_kept_however_many_reports_are_refused(
    harness: Harness, specs: list[LegSpec]
) -> None:
    first, _, later = specs
    reports: queue.SimpleQueue[Report] = queue.SimpleQueue()
    thread = harness.recorder_thread(reports)
    thread.start()
    harness.clock.advance(START_MILLIS // 1000 + 1)
    with harness.waiters.slot(later.call_id) as over:
        assert over is not None
        for _ in range(30):
            reports.put(replace(started(first), call_id=first.call_id))
            if over.wait(0.5):
                break
        assert over.is_set()
    thread.stop()


def test_report_of_a_locked_call_is_written_after_the_lock(
    migrated_postgres: Database, clock: FakeClock
) -> None:
    with a_harness(migrated_postgres, clock) as harness:
        connector = harness.connect(a_connector())
        rings = [harness.webhook(connector, CallSid=f"CA{number}") for number in range(2)]
        held, free = (harness.admission.claim("twilio", ref_of(each)) for each in rings)
        thread = thread_with(harness, closed(held), closed(free))
        with migrated_postgres.write() as connection:
            assert locked(connection, held.call_id)
            with harness.waiters.slot(free.call_id) as over:
                thread.start()
                assert over is not None
                assert over.wait(30)
        with harness.waiters.slot(held.call_id) as over:
            assert over is not None
            assert over.wait(30) or harness.calls.get(held.call_id).status.is_end
        thread.stop()
        assert harness.calls.get(held.call_id).end_reason is EndReason.CALLER_HUNG_UP
        assert lost(harness) == 0


def test_repeated_step_is_written_once(harness: Harness, specs: list[LegSpec]) -> None:
    spec = specs[0]
    harness.recorder.record(started(spec))
    harness.recorder.record(heard(spec))
    harness.recorder.record(heard(spec), again=True)
    assert events(harness.calls.get(spec.call_id)).count(LadderEvent.FIRST_AUDIO_IN) == 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_thread_that_has_died_is_not_alive(harness: Harness) -> None:
    thread = harness.recorder_thread(queue.SimpleQueue())
    assert thread.is_alive
    thread.start()
    assert thread.is_alive
    kill("recorder")
    assert not thread.is_alive
    stopped = harness.recorder_thread(queue.SimpleQueue())
    stopped.start()
    stopped.stop()
    assert stopped.is_alive


@pytest.mark.usefixtures("mend")
def test_stop_gives_up_only_reports_that_cannot_be_written(
    harness: Harness, specs: list[LegSpec], failed: threading.Event
) -> None:
    first, *others = specs
    thread = thread_with(harness, started(first), *map(closed, others))
    thread.start()
    thread.stop()
    assert failed.is_set()
    assert harness.calls.get(first.call_id).status is CallStatus.INCOMING
    for spec in others:
        assert harness.calls.get(spec.call_id).end_reason is EndReason.CALLER_HUNG_UP


def test_report_of_an_unknown_call_undoes_no_other_of_its_batch(
    harness: Harness, specs: list[LegSpec], caplog: pytest.LogCaptureFixture
) -> None:
    first, other, _ = specs
    nobody = LegClosed("no-such-call", "no-such-leg", None, "gone", {}, 2_000)
    thread = thread_with(harness, started(first), nobody, started(other))
    thread.start()
    thread.stop()
    (line,) = [one for one in caplog.records if "does not exist" in one.getMessage()]
    assert vars(line)["call_id"] == "no-such-call"
    for spec in (first, other):
        call = harness.calls.get(spec.call_id)
        assert call.status is CallStatus.ANSWERED
        assert events(call).count(LadderEvent.START) == 1


def test_heartbeat_is_overdue_once_nothing_is_written_for_too_long(clock: FakeClock) -> None:
    heartbeat = Heartbeat(clock.monotonic)
    clock.advance(BEAT_SECONDS + 1)
    # The thread was never started, as in a process that only serves the API.
    assert not heartbeat.is_overdue
    heartbeat.beat()
    clock.advance(BEAT_SECONDS)
    assert not heartbeat.is_overdue
    clock.advance(1)
    assert heartbeat.is_overdue
    heartbeat.beat()
    assert not heartbeat.is_overdue
