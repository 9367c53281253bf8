"""The media clock of a call. Media sockets are tested in ``test_simulator_phone``."""

import pytest

from service.simulator.leg import MediaClock
from tests.support.clocks import FakeClock


def test_timeline_starts_with_the_first_start():
    clock = FakeClock()
    media = MediaClock(clock)
    clock.advance(5)
    assert media.position() == 0
    assert media.start() == 0
    clock.advance(0.1)
    assert media.position() == 800


def test_second_start_continues_the_timeline():
    clock = FakeClock()
    media = MediaClock(clock)
    media.start()
    clock.advance(2.03)
    assert media.start() == 101
    assert media.until(101) == pytest.approx(-0.01, abs=0.001)
    assert media.until(103) == pytest.approx(0.03, abs=0.001)
