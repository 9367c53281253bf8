"""Levels of sounds with known loudness, and their record per second."""

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
from tests.support.live_rooms_harness import LiveRoomsHarness, steady

SECOND = 50


def sine(decibel: float, hertz: float = 400.0) -> NDArray[np.int16]:
    """Return one frame with a whole number of periods."""
    peak = 32_767 * 10 ** (decibel / 20)
    angle = 2 * np.pi * hertz * np.arange(FRAME_SAMPLES) / SAMPLE_RATE
    return np.rint(peak * np.sin(angle)).astype(np.int16)


def level(frame: NDArray[np.int16]) -> float | None:
    [found] = decibels(coded(powers(frame.reshape(1, -1))).tolist())
    return found


@pytest.mark.parametrize("decibel", [0.0, -0.5, -6.0, -20.5, -60.0])
def test_the_level_of_a_sine_is_that_of_its_peak_below_full_scale(decibel: float) -> None:
    assert level(sine(decibel)) == decibel


def test_silence_has_no_level_and_the_quietest_sound_has_one() -> None:
    assert level(steady(0)) is None
    faintest = steady(0)
    faintest[0] = 1
    assert level(faintest) == pytest.approx(-109.5, abs=0.5)


def test_levels_above_a_full_scale_sine_are_full_scale() -> None:
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
        # Half of the second is silent: half the power, 3 dB less.
        said = sine(-20) if tick < SECOND // 2 else steady(0)
        levels.measure(said.reshape(1, -1), steady(0).reshape(1, -1))
    loudness = meter.loudness()
    assert (loudness.leg_id, loudness.started_at) == ("a", 7)
    assert decibels(loudness.said) == [-23.0]
    assert decibels(loudness.heard) == [None]


@pytest.mark.parametrize("beep", range(25))
def test_the_level_of_a_periodic_beep_does_not_depend_on_its_phase(beep: int) -> None:
    meter = Meter("a", 0)
    levels = Levels([meter])
    for tick in range(5 * SECOND):
        said = sine(-20) if tick % 25 == beep else steady(0)
        levels.measure(said.reshape(1, -1), steady(0).reshape(1, -1))
    # One frame of ten in two seconds of five.
    measured = [level for level in decibels(meter.loudness().said) if level is not None]
    assert measured == [-30.0, -30.0]


def test_a_record_has_a_maximum_length() -> None:
    meter = Meter("a", 0)
    for _ in range(LONGEST + 1):
        meter.add(1, 2)
    assert meter.loudness().said == b"\x01" * LONGEST
    assert meter.loudness().heard == b"\x02" * LONGEST


def test_a_second_continues_while_other_legs_join_and_leave(clock: FakeClock) -> None:
    harness = LiveRoomsHarness(clock)
    ann = harness.join(agent("ann"))
    for turn in range(2 * SECOND):
        if turn == 33:
            bob = harness.join(agent("bob"))
        if turn == 70:
            bob.leave()
        ann.speak(sine(-12))
        harness.tick()
    ann.leave()
    gone, left = [
        report.loudness for report in harness.new_reports() if isinstance(report, LegClosed)
    ]
    assert left is not None
    assert gone is not None
    assert decibels(left.said) == [-12.0, -12.0]
    assert decibels(left.heard) == [None, None]
    assert (gone.said, gone.heard) == (b"", b"")


def test_one_leg_s_speech_is_the_other_leg_s_loudness(clock: FakeClock) -> None:
    harness = LiveRoomsHarness(clock)
    ann, bob = harness.join(agent("ann")), harness.join(agent("bob"))
    for _ in range(SECOND + 5):
        ann.speak(sine(-12))
        harness.tick()
    live_levels = harness.live_rooms.live_levels()
    assert live_levels["call-ann"][:2] == (-12.0, None)
    assert live_levels["call-bob"][:2] == (None, -12.0)
    bob.leave()
    [loudness] = [
        report.loudness for report in harness.new_reports() if isinstance(report, LegClosed)
    ]
    assert loudness is not None
    assert decibels(loudness.heard) == [-12.0]
    assert harness.live_rooms.loudness("call-bob") is None
    assert list(harness.live_rooms.live_levels()) == ["call-ann"]


def test_a_leg_that_never_started_has_no_loudness(clock: FakeClock) -> None:
    harness = LiveRoomsHarness(clock)
    harness.open(agent("ann")).leave()
    [report] = harness.new_reports()
    assert isinstance(report, LegClosed)
    assert report.loudness is None
