"""The herald tells the engine of the signal, and ends when it is told to."""

from __future__ import annotations

import threading

from service.console.change_notifier import ChangeNotifier
from service.media.engine.engine import Engine
from tests.support.clocks import FakeClock

PATIENCE = 20


class Crowd(Engine):
    """Counts what is announced; ``heard`` is set each time."""

    def __init__(self) -> None:
        super().__init__(FakeClock())
        self.count = 0
        self.heard = threading.Event()

    def announce(self) -> None:
        self.count += 1
        self.heard.set()


def test_each_ring_is_told_of_and_many_at_once_are_one() -> None:
    others = set(threading.enumerate())
    crowd, signal = Crowd(), threading.Event()
    herald = ChangeNotifier(crowd, signal)
    for _ in range(5):
        signal.set()
    herald.start()
    herald.start()
    assert crowd.heard.wait(PATIENCE)
    crowd.heard.clear()
    signal.set()
    assert crowd.heard.wait(PATIENCE)
    herald.stop()
    assert crowd.count == 2
    assert not [each for each in set(threading.enumerate()) - others if each.name == "herald"]


def test_a_herald_that_was_never_started_can_be_stopped() -> None:
    ChangeNotifier(Crowd(), threading.Event()).stop()
