"""Background threads: start, stop and liveness."""

from __future__ import annotations

import threading

from service.process.background import BackgroundThread

PATIENCE = 10.0


class Waiter(BackgroundThread):
    def __init__(self) -> None:
        self.signal = threading.Event()
        self.starts = 0
        super().__init__("waiter", self.signal)

    def _prepare(self) -> None:
        self.starts += 1

    def _run(self) -> None:
        self.signal.wait()


def test_the_thread_is_started_once() -> None:
    waiter = Waiter()
    waiter.start()
    waiter.start()
    waiter.stop(PATIENCE)
    assert waiter.starts == 1


def test_stop_wakes_a_thread_that_waits_for_its_signal() -> None:
    waiter = Waiter()
    waiter.start()
    assert "waiter" in {thread.name for thread in threading.enumerate()}
    waiter.stop(PATIENCE)
    assert "waiter" not in {thread.name for thread in threading.enumerate()}


def test_thread_is_not_alive_only_where_it_ended_by_itself() -> None:
    ended, told, unstarted = Waiter(), Waiter(), Waiter()
    ended.start()
    ended.signal.set()
    for thread in threading.enumerate():
        if thread.name == "waiter":
            thread.join(PATIENCE)
    told.start()
    told.stop(PATIENCE)
    assert not ended.is_alive
    assert told.is_alive
    assert unstarted.is_alive
