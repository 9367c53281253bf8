"""Levels against sounds of known strength, and their record by the second."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from service.domain.loudness import decibels
from service.domain.wire import FRAME_SAMPLES, SAMPLE_RATE
from service.media.audio.levels import LONGEST, Levels, Meter, coded, powers
from service.media.rooms.reports import LegClosed
from tests.support.callers import agent
from tests.support.clocks import FakeClock
from tests.support.halls import Hall, steady

SECOND = 50


def sine(decibel: float, hertz: float = 400.0) -> NDArray[np.int16]:
    """One frame, which holds whole periods."""
    peak = 32_767 * 10 ** (decibel / 20)
    angle = 2 * np.pi * hertz * np.arange(FRAME_SAMPLES) / SAMPLE_RATE
    return np.rint(peak * np.sin(angle)).astype(np.int16)


def level(frame: NDArray[np.int16]) -> float | None:
    [found] = decibels(coded(powers(frame.reshape(1, -1))).tolist())
    return found


@pytest.mark.parametrize("decibel", [0.0, -0.5, -6.0, -20.5, -60.0])
def test_the_level_of_a_sine_is_that_of_its_peak_below_full_scale(decibel: float) -> None:
    assert level(sine(decibel)) == decibel


def test_silence_has_no_level_and_the_faintest_sound_has_one() -> None:
    assert level(steady(0)) is None
    faintest = steady(0)
    faintest[0] = 1
    assert level(faintest) == pytest.approx(-109.5, abs=0.5)


def test_what_is_louder_than_a_sine_can_be_is_full_scale() -> None:
    assert level(steady(-32_768)) == 0.0


def test_one_frame_in_five_is_measured() -> None:
    levels = Levels([Meter("a", 0)])
    loud, quiet = sine(-10).reshape(1, -1), sine(-30).reshape(1, -1)
    for _ in range(4):
        levels.measure(loud, loud)
    assert levels.now() == ([None], [None])
    levels.measure(quiet, loud)
    assert levels.now() == ([-30.0], [-10.0])


def test_a_second_has_the_power_of_its_frames() -> None:
    meter = Meter("a", 7)
    levels = Levels([meter])
    for tick in range(SECOND):
        # Half of it at a level, half of it silent: half the power, which is 3 dB.
        said = sine(-20) if tick < SECOND // 2 else steady(0)
        levels.measure(said.reshape(1, -1), steady(0).reshape(1, -1))
    loudness = meter.loudness()
    assert (loudness.leg_id, loudness.started_at) == ("a", 7)
    assert decibels(loudness.said) == [-23.0]
    assert decibels(loudness.heard) == [None]


@pytest.mark.parametrize("beep", range(25))
def test_a_beep_twice_a_second_is_as_loud_wherever_it_falls(beep: int) -> None:
    meter = Meter("a", 0)
    levels = Levels([meter])
    for tick in range(5 * SECOND):
        said = sine(-20) if tick % 25 == beep else steady(0)
        levels.measure(said.reshape(1, -1), steady(0).reshape(1, -1))
    # One frame of ten in two seconds of five.
    measured = [level for level in decibels(meter.loudness().said) if level is not None]
    assert measured == [-30.0, -30.0]


def test_a_record_has_an_end() -> None:
    meter = Meter("a", 0)
    for _ in range(LONGEST + 1):
        meter.add(1, 2)
    assert meter.loudness().said == b"\x01" * LONGEST
    assert meter.loudness().heard == b"\x02" * LONGEST


def test_a_second_goes_on_while_others_come_and_go(clock: FakeClock) -> None:
    hall = Hall(clock)
    ann = hall.join(agent("ann"))
    for turn in range(2 * SECOND):
        if turn == 33:
            bob = hall.join(agent("bob"))
        if turn == 70:
            bob.leave()
        ann.speak(sine(-12))
        hall.tick()
    ann.leave()
    gone, left = [report.loudness for report in hall.told() if isinstance(report, LegClosed)]
    assert left is not None
    assert gone is not None
    assert decibels(left.said) == [-12.0, -12.0]
    assert decibels(left.heard) == [None, None]
    assert (gone.said, gone.heard) == (b"", b"")


def test_what_one_says_is_what_the_other_hears(clock: FakeClock) -> None:
    hall = Hall(clock)
    ann, bob = hall.join(agent("ann")), hall.join(agent("bob"))
    for _ in range(SECOND + 5):
        ann.speak(sine(-12))
        hall.tick()
    live_levels = hall.exchange.live_levels()
    assert live_levels["call-ann"][:2] == (-12.0, None)
    assert live_levels["call-bob"][:2] == (None, -12.0)
    bob.leave()
    [loudness] = [report.loudness for report in hall.told() if isinstance(report, LegClosed)]
    assert loudness is not None
    assert decibels(loudness.heard) == [-12.0]
    assert hall.exchange.loudness("call-bob") is None
    assert list(hall.exchange.live_levels()) == ["call-ann"]


def test_a_leg_that_never_started_has_no_loudness(clock: FakeClock) -> None:
    hall = Hall(clock)
    hall.adopt(agent("ann")).leave()
    [report] = hall.told()
    assert isinstance(report, LegClosed)
    assert report.loudness is None
