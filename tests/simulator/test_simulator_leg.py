"""The timeline of a call; whole media sockets are in ``test_simulator_phone``."""

import pytest

from service.simulator.leg import MediaClock
from tests.support.clocks import FakeClock


def test_the_timeline_begins_with_the_first_start():
    clock = FakeClock()
    media = MediaClock(clock)
    clock.advance(5)
    assert media.position() == 0
    assert media.start() == 0
    clock.advance(0.1)
    assert media.position() == 800


def test_a_second_start_goes_on_where_the_call_is():
    clock = FakeClock()
    media = MediaClock(clock)
    media.start()
    clock.advance(2.03)
    assert media.start() == 101
    assert media.until(101) == pytest.approx(-0.01, abs=0.001)
    assert media.until(103) == pytest.approx(0.03, abs=0.001)
