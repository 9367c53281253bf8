"""The time of calls: a wall clock that is set ends and delays no call."""

from __future__ import annotations

import logging
import queue
from collections.abc import Iterator

import pytest

from service.calls.timekeeper import SharedTimekeeper, Timekeeper
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


class ScriptedTime(TimeBases):
    """A database whose clock differs from this machine's by so many seconds, after a wait."""

    def __init__(self, database: Database, clock: FakeClock, ahead: float) -> None:
        super().__init__(database)
        self._machine = clock
        self.ahead = ahead
        self.wait = 0.0

    def now(self) -> int:
        read = self._machine.now() + round(self.ahead * 1000)
        self._machine.advance(self.wait)
        return read


def test_machines_that_share_a_database_keep_its_time(harness: Harness, clock: FakeClock) -> None:
    kept = [SteadyClock(clock), SteadyClock(clock)]
    kept[0].set(clock.now() - 40_000)
    bases = ScriptedTime(harness.database, clock, ahead=30)
    shared = [SharedTimekeeper(each, harness.calls, bases) for each in kept]
    for keeper in shared:
        keeper.begin()
    assert [each.now() for each in kept] == [clock.now() + 30_000] * 2
    assert [keeper.follow() for keeper in shared] == [False, False]
    up(harness)
    bases.ahead = HOUR
    assert [keeper.follow() for keeper in shared] == [True, True]
    assert [each.now() for each in kept] == [clock.now() + HOUR * 1000] * 2


def test_small_differences_from_the_time_of_the_database_are_ignored(
    harness: Harness, clock: FakeClock
) -> None:
    bases = ScriptedTime(harness.database, clock, ahead=1.9)
    assert not SharedTimekeeper(harness.steady, harness.calls, bases).follow()
    assert harness.steady.now() == clock.now()


def test_slow_answer_does_not_change_the_time(harness: Harness, clock: FakeClock) -> None:
    bases = ScriptedTime(harness.database, clock, ahead=30)
    keeper = SharedTimekeeper(harness.steady, harness.calls, bases)
    bases.wait = 2.1
    assert not keeper.follow()
    bases.wait = 1.0
    assert keeper.follow()
    # The clock was read in the middle of the wait, as far as anyone knows.
    assert harness.steady.now() == clock.now() + 29_500


def test_time_of_the_database_is_read(harness: Harness) -> None:
    keeper = SharedTimekeeper(harness.steady, harness.calls, TimeBases(harness.database))
    # The time of tests is another one.
    assert keeper.follow()
