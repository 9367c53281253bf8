"""Retention: old history is deleted after the configured days, in batches."""

from __future__ import annotations

import queue
import threading

import pytest

from service.calls import retention
from service.calls.retention import Retention
from service.domain.calls import EndReason
from service.storage.calls.calls import Calls
from service.storage.calls.history import History
from service.storage.database import Database
from service.storage.work_leases import WorkLeases
from tests.support.clocks import FakeClock
from tests.support.leases import lapse
from tests.support.records import a_call

DAY = 86_400_000


def an_old_call(calls: Calls, clock: FakeClock, days: int) -> str:
    at = clock.now() - days * DAY
    call = a_call(started_at=at, expires_at=at + 90_000)
    assert calls.admit(call, f"ref-{call.id}", 100)
    assert calls.end(call.id, EndReason.CALLER_HUNG_UP, at)
    return call.id


@pytest.mark.parametrize(("keep_days", "kept"), [(0, 3), (31, 3), (30, 2), (3, 1), (1, 0)])
def test_calls_are_kept_for_so_many_days(
    database: Database, clock: FakeClock, keep_days: int, kept: int
) -> None:
    calls = Calls(database)
    for days in (30, 10, 2):
        an_old_call(calls, clock, days)
    clock.advance(1)
    Retention(History(database), WorkLeases(database, "nd_1"), clock, keep_days).sweep()
    assert calls.page().total == kept


def test_references_are_deleted_whether_calls_are_kept_or_not(
    database: Database, clock: FakeClock
) -> None:
    calls = Calls(database)
    old, new = (f"ref-{an_old_call(calls, clock, days)}" for days in (1, 0))
    Retention(History(database), WorkLeases(database, "nd_1"), clock, 0).sweep()
    assert [calls.has_reference(each) for each in (old, new)] == [False, True]


def test_old_history_is_deleted_in_batches_of_any_size(
    database: Database, clock: FakeClock
) -> None:
    history = History(database, piece=1, rows=1)
    calls = Calls(database)
    refs = [f"ref-{an_old_call(calls, clock, 9)}" for _ in range(3)]
    Retention(history, WorkLeases(database, "nd_1"), clock, 5).sweep()
    assert calls.page().total == 0
    assert not any(map(calls.has_reference, refs))


def test_one_node_deletes_at_a_time(database: Database, clock: FakeClock) -> None:
    calls = Calls(database)
    an_old_call(calls, clock, 9)
    other = WorkLeases(database, "nd_2")
    assert other.claim(retention.WORK)
    sweeper = Retention(History(database), WorkLeases(database, "nd_1"), clock, 5)
    sweeper.sweep()
    assert calls.page().total == 1
    other.release(retention.WORK)
    sweeper.sweep()
    assert calls.page().total == 0
    assert other.claim(retention.WORK)


def test_node_that_stalls_stops_deleting(database: Database, clock: FakeClock) -> None:
    """Another node has claimed the work meanwhile."""
    calls = Calls(database)
    for _ in range(4):
        an_old_call(calls, clock, 9)
    other = WorkLeases(database, "nd_2")

    class Stalling(History):
        def forget_calls(self, before: int, after: int = 0) -> int | None:
            seen = super().forget_calls(before, after)
            if calls.page().total == 2:
                clock.advance(60)
                lapse(database)
                assert other.claim(retention.WORK)
            return seen

    Retention(Stalling(database), WorkLeases(database, "nd_1"), clock, 5).sweep()
    assert calls.page().total == 2
    assert other.claim(retention.WORK)


def test_thread_sweeps_until_it_is_stopped(database: Database, clock: FakeClock) -> None:
    # Applications of other tests have threads of that name as well.
    others = threading.enumerate()
    swept: queue.SimpleQueue[threading.Thread] = queue.SimpleQueue()

    class Failing(History):
        def forget_refs(self, before: int) -> bool:
            swept.put(threading.current_thread())
            raise RuntimeError("the thread goes on")

    leases = WorkLeases(database, "nd_1")
    sweeper = Retention(Failing(database), leases, clock, 0, every_seconds=0.001)
    sweeper.stop()
    sweeper = Retention(Failing(database), leases, clock, 0, every_seconds=0.001)
    sweeper.start()
    sweeper.start()
    threads = {swept.get(timeout=20) for _ in range(3)}
    assert len(threads) == 1
    assert sweeper.is_alive
    sweeper.stop()
    named = [each for each in threading.enumerate() if each.name == "retention"]
    assert [each for each in named if each not in others] == []
