"""The notifier announces changes to the engine until it is stopped."""

from __future__ import annotations

import threading

from service.console.change_notifier import ChangeNotifier
from service.media.engine.engine import Engine
from tests.support.clocks import FakeClock

PATIENCE = 20

MOMENT = 0.1
"""Seconds in which a notifier without a pause would announce a change."""


class CountingEngine(Engine):
    """Counts announcements and sets ``announced`` at each."""

    def __init__(self) -> None:
        super().__init__(FakeClock())
        self.count = 0
        self.announced = threading.Event()

    def announce(self) -> None:
        self.count += 1
        self.announced.set()


def test_changes_are_announced_and_combined() -> None:
    others = set(threading.enumerate())
    engine, signal = CountingEngine(), threading.Event()
    notifier = ChangeNotifier(engine, signal)
    for _ in range(5):
        signal.set()
    notifier.start()
    notifier.start()
    assert engine.announced.wait(PATIENCE)
    engine.announced.clear()
    signal.set()
    assert engine.announced.wait(PATIENCE)
    notifier.stop()
    assert engine.count == 2
    assert not [
        each for each in set(threading.enumerate()) - others if each.name == "change-notifier"
    ]


def test_change_during_the_pause_is_not_announced_yet() -> None:
    engine, signal = CountingEngine(), threading.Event()
    notifier = ChangeNotifier(engine, signal, pause=3600)
    signal.set()
    notifier.start()
    assert engine.announced.wait(PATIENCE)
    engine.announced.clear()
    signal.set()
    assert not engine.announced.wait(MOMENT)
    notifier.stop()
    assert engine.count == 1


def test_notifier_that_was_never_started_can_be_stopped() -> None:
    ChangeNotifier(CountingEngine(), threading.Event()).stop()
