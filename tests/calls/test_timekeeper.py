"""Calls and the wall clock: setting it ends nothing, delays nothing, and is followed in the end."""

from __future__ import annotations

import logging
import queue
from collections.abc import Iterator
from functools import partial

import pytest

from service.calls.recorder import CallRecorder
from service.calls.timekeeper import Timekeeper
from service.clock import SteadyClock, Uptime
from service.domain.calls import Call, CallStatus, EndReason
from service.media.rooms.reports import LegClosed
from service.storage.database import Database
from service.storage.time_bases import TimeBase, TimeBases
from tests.support.clocks import FakeClock
from tests.support.records import a_connector
from tests.support.switchboards import Desk, a_desk, ref_of

HOUR = 3_600
STEPS = pytest.mark.parametrize("step", [HOUR, -HOUR, 100 * HOUR, -100 * HOUR])


@pytest.fixture
def steady(clock: FakeClock) -> SteadyClock:
    return SteadyClock(clock)


@pytest.fixture
def desk(database: Database, clock: FakeClock) -> Iterator[Desk]:
    with a_desk(database, clock, max_call_seconds=7_200) as desk:
        yield desk


def keeper(desk: Desk, clock: FakeClock, boot: str = "boot-1") -> Timekeeper:
    """Of a process on a machine that was booted a thousand seconds before the test."""

    measure = partial(uptime_of, clock, boot)
    return Timekeeper(desk.steady, desk.calls, TimeBases(desk.database), measure)


def uptime_of(clock: FakeClock, boot: str = "boot-1") -> Uptime:
    return Uptime(boot, int(clock.monotonic() * 1000))


def up(desk: Desk) -> Call:
    """A call that is in its room."""
    connector = desk.connect(a_connector())
    desk.start(ref_of(desk.notify_after_commit(connector)))
    call: Call = desk.call(connector)
    return call


def lose(desk: Desk, call: Call) -> None:
    at = desk.steady.now()
    desk.switchboard.record(LegClosed(call.id, call.leg_id or "", None, "lost", {}, at))


@STEPS
def test_a_steady_clock_does_not_jump(clock: FakeClock, steady: SteadyClock, step: int) -> None:
    before = steady.now()
    clock.step(step)
    clock.advance(1.5)
    assert steady.now() == before + 1_500
    assert steady.wall() == before + 1_500 + step * 1000
    steady.go_on(steady.wall())
    assert steady.now() == steady.wall()


@STEPS
def test_a_call_that_is_up_goes_on(desk: Desk, clock: FakeClock, step: int) -> None:
    call = up(desk)
    clock.step(step)
    desk.switchboard.sweep()
    assert desk.calls.get(call.id).status is CallStatus.ANSWERED
    clock.advance(7_200)
    desk.switchboard.sweep()
    assert desk.calls.get(call.id).end_reason is EndReason.MAX_DURATION


@STEPS
def test_a_lost_socket_is_noticed_in_time(desk: Desk, clock: FakeClock, step: int) -> None:
    call = up(desk)
    lose(desk, call)
    clock.step(step)
    clock.advance(14.9)
    desk.switchboard.sweep()
    assert desk.calls.get(call.id).status is CallStatus.ANSWERED
    clock.advance(0.1)
    desk.switchboard.sweep()
    assert desk.calls.get(call.id).end_reason is EndReason.CONNECTION_LOST


@STEPS
def test_a_reference_holds_for_as_long_as_it_says(desk: Desk, clock: FakeClock, step: int) -> None:
    connector = desk.connect(a_connector())
    ref = ref_of(desk.notify_after_commit(connector))
    clock.step(step)
    clock.advance(89)
    desk.switchboard.sweep()
    assert desk.switchboard.claim("twilio", ref)


@STEPS
def test_the_wall_clock_is_followed_once_no_call_is_up(
    desk: Desk, clock: FakeClock, step: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    kept, call = keeper(desk, clock), up(desk)
    kept.begin()
    clock.step(step)
    for _ in range(3):
        kept.follow()
    assert desk.steady.now() != clock.now()
    assert caplog.text.count(f"set by {step:+d} s: calls go on by the time before") == 1
    desk.switchboard.end(call.id)
    kept.follow()
    assert desk.steady.now() == clock.now()
    assert f"the wall clock was set by {step:+d} s, and is followed from now on" in caplog.text


def test_a_clock_that_is_adjusted_a_little_is_left_alone(desk: Desk, clock: FakeClock) -> None:
    kept, before = keeper(desk, clock), desk.steady.now()
    kept.begin()
    clock.step(1.9)
    kept.follow()
    assert desk.steady.now() == before


@STEPS
def test_the_next_process_goes_on_with_the_time_of_the_one_before(
    desk: Desk, clock: FakeClock, database: Database, step: int
) -> None:
    call = up(desk)
    keeper(desk, clock).begin()
    clock.step(step)
    clock.advance(5)
    with a_desk(database, clock, max_call_seconds=7_200) as later:
        later.switchboard.take_over(keeper(later, clock))
        assert later.steady.now() == desk.steady.now()
        later.switchboard.sweep()
        assert later.calls.get(call.id).status is CallStatus.ANSWERED
        clock.advance(15)
        later.switchboard.sweep()
        assert later.calls.get(call.id).end_reason is EndReason.CONNECTION_LOST


@pytest.mark.parametrize(("boot", "live"), [("boot-2", True), ("boot-1", False)])
def test_elsewhere_and_where_no_call_is_up_the_wall_clock_is_believed(
    desk: Desk, clock: FakeClock, database: Database, boot: str, live: bool
) -> None:
    call = up(desk)
    keeper(desk, clock).begin()
    if not live:
        desk.switchboard.end(call.id)
    clock.step(-HOUR)
    with a_desk(database, clock) as later:
        later.switchboard.take_over(keeper(later, clock, boot))
        assert later.steady.now() == clock.now()
        found = later.calls.get(call.id)
        if live:
            # What had not happened yet by this clock has happened now.
            assert found.answered_at == found.detached_at == clock.now()


def test_a_database_that_takes_its_time_is_no_step(
    desk: Desk, clock: FakeClock, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    class Slow(TimeBases):
        def find(self) -> TimeBase | None:
            found = super().find()
            clock.advance(3)
            return found

    up(desk)
    keeper(desk, clock).begin()
    Timekeeper(desk.steady, desk.calls, Slow(database), partial(uptime_of, clock)).begin()
    assert "the wall clock was set" not in caplog.text
    assert desk.steady.now() == clock.now()


def test_a_machine_that_tells_no_uptime_keeps_its_wall_clock(desk: Desk, clock: FakeClock) -> None:
    up(desk)
    bases = TimeBases(desk.database)
    Timekeeper(desk.steady, desk.calls, bases, lambda: None).begin()
    assert bases.find() is None
    assert desk.steady.now() == clock.now()


def test_the_ledger_keeps_the_time(desk: Desk, clock: FakeClock) -> None:
    kept = keeper(desk, clock)
    ledger = CallRecorder(desk.switchboard, queue.SimpleQueue(), kept)
    clock.step(HOUR)
    ledger.start()
    ledger.stop()
    assert desk.steady.now() == clock.now()
    assert TimeBases(desk.database).find() is not None
