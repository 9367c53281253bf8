"""The time of calls: a wall clock that is set ends and delays no call."""

from __future__ import annotations

import logging
import queue
from collections.abc import Iterator

import pytest

from service.calls.timekeeper import Timekeeper
from service.clock import SteadyClock
from service.domain.calls import Call, CallStatus, EndReason
from service.media.rooms.reports import LegClosed
from service.storage.database import Database
from service.storage.time_bases import TimeBase, TimeBases
from tests.support.clocks import FakeClock
from tests.support.harness import Harness, a_harness, ref_of
from tests.support.records import a_connector

HOUR = 3_600
STEPS = pytest.mark.parametrize("step", [HOUR, -HOUR, 100 * HOUR, -100 * HOUR])


@pytest.fixture
def steady(clock: FakeClock) -> SteadyClock:
    return SteadyClock(clock)


@pytest.fixture
def harness(database: Database, clock: FakeClock) -> Iterator[Harness]:
    with a_harness(database, clock, max_call_seconds=7_200) as harness:
        yield harness


def up(harness: Harness) -> Call:
    """A call that is in its room."""
    connector = harness.connect(a_connector())
    harness.start(ref_of(harness.webhook(connector)))
    call: Call = harness.call(connector)
    return call


def lose(harness: Harness, call: Call) -> None:
    at = harness.steady.now()
    harness.recorder.record(LegClosed(call.id, call.leg_id or "", None, "lost", {}, at))


@STEPS
def test_steady_clock_does_not_jump(clock: FakeClock, steady: SteadyClock, step: int) -> None:
    before = steady.now()
    clock.step(step)
    clock.advance(1.5)
    assert steady.now() == before + 1_500
    assert steady.wall() == before + 1_500 + step * 1000
    steady.set(steady.wall())
    assert steady.now() == steady.wall()


@STEPS
def test_live_call_is_not_ended_by_a_step(harness: Harness, clock: FakeClock, step: int) -> None:
    call = up(harness)
    clock.step(step)
    harness.deadlines.sweep()
    assert harness.calls.get(call.id).status is CallStatus.ANSWERED
    clock.advance(7_200)
    harness.deadlines.sweep()
    assert harness.calls.get(call.id).end_reason is EndReason.MAX_DURATION


@STEPS
def test_lost_socket_is_noticed_in_time(harness: Harness, clock: FakeClock, step: int) -> None:
    call = up(harness)
    lose(harness, call)
    clock.step(step)
    clock.advance(14.9)
    harness.deadlines.sweep()
    assert harness.calls.get(call.id).status is CallStatus.ANSWERED
    clock.advance(0.1)
    harness.deadlines.sweep()
    assert harness.calls.get(call.id).end_reason is EndReason.CONNECTION_LOST


@STEPS
def test_reference_expires_by_the_steady_clock(
    harness: Harness, clock: FakeClock, step: int
) -> None:
    connector = harness.connect(a_connector())
    ref = ref_of(harness.webhook(connector))
    clock.step(step)
    clock.advance(89)
    harness.deadlines.sweep()
    assert harness.admission.claim("twilio", ref)


@STEPS
def test_wall_clock_is_followed_once_no_call_is_up(
    harness: Harness, clock: FakeClock, step: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    kept, call = harness.timekeeper(), up(harness)
    kept.begin()
    clock.step(step)
    for _ in range(3):
        kept.follow()
    assert harness.steady.now() != clock.now()
    assert caplog.text.count(f"set by {step:+d} s: calls go on by the time before") == 1
    harness.ending.end(call.id)
    kept.follow()
    assert harness.steady.now() == clock.now()
    assert f"the wall clock was set by {step:+d} s, and is followed from now on" in caplog.text


def test_clock_that_is_adjusted_a_little_is_left_alone(harness: Harness, clock: FakeClock) -> None:
    kept, before = harness.timekeeper(), harness.steady.now()
    kept.begin()
    clock.step(1.9)
    kept.follow()
    assert harness.steady.now() == before


@STEPS
def test_next_process_goes_on_with_the_time_of_the_one_before(
    harness: Harness, clock: FakeClock, database: Database, step: int
) -> None:
    call = up(harness)
    harness.timekeeper().begin()
    clock.step(step)
    clock.advance(5)
    with a_harness(database, clock, max_call_seconds=7_200) as later:
        assert later.takeover(later.timekeeper()).attempt()
        assert later.steady.now() == harness.steady.now()
        later.deadlines.sweep()
        assert later.calls.get(call.id).status is CallStatus.ANSWERED
        clock.advance(15)
        later.deadlines.sweep()
        assert later.calls.get(call.id).end_reason is EndReason.CONNECTION_LOST


@pytest.mark.parametrize(("boot", "live"), [("boot-2", True), ("boot-1", False)])
def test_wall_clock_is_used_after_a_reboot_or_without_live_calls(
    harness: Harness, clock: FakeClock, database: Database, boot: str, live: bool
) -> None:
    call = up(harness)
    harness.timekeeper().begin()
    if not live:
        harness.ending.end(call.id)
    clock.step(-HOUR)
    with a_harness(database, clock) as later:
        assert later.takeover(later.timekeeper(boot)).attempt()
        assert later.steady.now() == clock.now()
        found = later.calls.get(call.id)
        if live:
            # What had not happened yet by this clock has happened now.
            assert found.answered_at == found.detached_at == clock.now()


@STEPS
def test_processes_of_a_machine_follow_the_wall_clock_together(
    harness: Harness, clock: FakeClock, database: Database, step: int
) -> None:
    """The second one has a call before it has looked."""
    with a_harness(database, clock) as other:
        first, second = harness.timekeeper(), other.timekeeper()
        first.begin()
        second.begin()
        assert not first.follow()
        clock.step(step)
        assert not first.follow()
        assert harness.steady.now() == clock.now()
        call = up(harness)
        assert second.follow()
        assert other.steady.now() == clock.now()
        assert not second.follow()
        clock.advance(10)
        other.deadlines.begin()
        other.deadlines.sweep()
        assert other.calls.get(call.id).status is CallStatus.ANSWERED


def test_wall_clock_is_not_followed_once_another_process_has_a_call(
    harness: Harness, clock: FakeClock, database: Database
) -> None:
    class Late(TimeBases):
        def replace(self, before: TimeBase, base: TimeBase) -> bool:
            up(harness)
            return super().replace(before, base)

    kept = harness.timekeeper(bases=Late(database))
    kept.begin()
    clock.step(HOUR)
    before = harness.steady.now()
    assert not kept.follow()
    assert harness.steady.now() == before
    assert not kept.follow()


def test_slow_query_is_not_taken_for_a_step(
    harness: Harness, clock: FakeClock, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    class Slow(TimeBases):
        def find(self, boot: str) -> TimeBase | None:
            found = super().find(boot)
            clock.advance(3)
            return found

    up(harness)
    harness.timekeeper().begin()
    harness.timekeeper(bases=Slow(database)).begin()
    assert "the wall clock was set" not in caplog.text
    assert harness.steady.now() == clock.now()


def test_wall_clock_is_used_where_the_uptime_is_unknown(harness: Harness, clock: FakeClock) -> None:
    up(harness)
    bases = TimeBases(harness.database)
    Timekeeper(harness.steady, harness.calls, bases, lambda: None).begin()
    assert bases.find("boot-1") is None
    assert harness.steady.now() == clock.now()


def test_recorder_thread_keeps_the_time(harness: Harness, clock: FakeClock) -> None:
    kept = harness.timekeeper()
    thread = harness.recorder_thread(queue.SimpleQueue(), kept)
    clock.step(HOUR)
    thread.start()
    thread.stop()
    assert harness.steady.now() == clock.now()
    assert TimeBases(harness.database).find("boot-1") is not None
