"""The gate of large rooms: noise stays out of the mix, and no word loses its beginning."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from service.domain.wire import FRAME_SAMPLES
from service.media.rooms.gate import HANG, NEW, UNGATED, Gate
from tests.support.callers import agent
from tests.support.clocks import FakeClock
from tests.support.halls import Hall, Party, steady

FULL_SINE = 32_768 / np.sqrt(2)

Samples = NDArray[np.int16]


class Room:
    """People with noisy lines, who speak when they are told to, and one whose line is silent."""

    def __init__(self, clock: FakeClock, people: int, level: float) -> None:
        self.hall = Hall(clock)
        self._random = np.random.default_rng(7)
        self._rms = FULL_SINE * 10 ** (level / 20)
        self.parties = [self.hall.join(agent(f"p{number}")) for number in range(people)]
        self.listener: Party = self.hall.join(agent("listener"))
        self.said: list[NDArray[np.int32]] = []

    def noise(self) -> Samples:
        wave = self._random.normal(0, self._rms, FRAME_SAMPLES)
        return wave.round().astype(np.int16)

    def tick(self, speech: dict[int, Samples] | None = None) -> NDArray[np.int32]:
        """One frame of all; what the listener hears of it."""
        frames = [self.noise() for _ in self.parties]
        for number, samples in (speech or {}).items():
            frames[number] = frames[number] + samples
        for party, frame in zip(self.parties, frames, strict=True):
            party.speak(frame)
        self.listener.speak(steady(0))
        self.hall.clock.advance(0.005)
        self.hall.exchange.tick(self.hall.clock.monotonic())
        self.hall.clock.advance(0.015)
        self.said.append(np.array(frames, np.int32))
        heard = self.listener.listened()[-FRAME_SAMPLES:]
        return heard

    def rest(self, frames: int) -> NDArray[np.int32]:
        return np.concatenate([self.tick() for _ in range(frames)])


def level(samples: NDArray[np.int32]) -> float:
    """In dBFS, where a sine of full scale has 0."""
    power = float(np.mean(samples.astype(np.float64) ** 2))
    return 20 * np.log10(max(np.sqrt(power), 1e-3) / FULL_SINE)


def test_fifty_lines_of_noise_are_not_heard(clock: FakeClock) -> None:
    room = Room(clock, 50, -55)
    first = room.rest(NEW - 5)
    assert level(first[-FRAME_SAMPLES * 10 :]) == pytest.approx(-38, abs=1)
    room.rest(10)
    assert level(room.rest(100)) < -70


@pytest.mark.parametrize("noise", [-65, -45])
def test_the_noise_of_a_large_room_is_below_that_of_one_line(clock: FakeClock, noise: int) -> None:
    room = Room(clock, 50, noise)
    room.rest(NEW + 10)
    assert level(room.rest(60)) <= noise + 1


def word(peak: int, begins: int, frames: int) -> list[Samples]:
    """A voice of 200 Hz that swells in 30 ms, from a sample of its first frame on."""
    time = np.arange(frames * FRAME_SAMPLES)
    envelope = np.clip((time - begins) / 240, 0, 1)
    wave = peak * envelope * np.sign(np.sin(2 * np.pi * 200 * time / 8000 + 0.1))
    return list(wave.astype(np.int16).reshape(-1, FRAME_SAMPLES))


@pytest.mark.parametrize(("peak", "begins"), [(600, 0), (600, 120), (2000, 40), (8000, 80)])
def test_no_first_word_is_cut(clock: FakeClock, begins: int, peak: int) -> None:
    """From the frame on in which the voice rises above the noise, to the last sample."""
    room = Room(clock, 50, -55)
    room.rest(NEW + 20)
    for speaker in (3, 41):
        frames = word(peak, begins, 10)
        for number, frame in enumerate(frames):
            heard = room.tick({speaker: frame})
            if np.abs(frame).max() >= 400:
                assert (heard == room.said[-1][speaker]).all(), number
        assert int(np.abs(frames[0]).max()) > 0
        room.rest(HANG + 5)


def test_a_voice_that_begins_downwards_opens_the_gate_as_well(clock: FakeClock) -> None:
    room = Room(clock, 20, -55)
    room.rest(NEW + 20)
    for value in (-700, -30_000):
        frame = steady(0)
        frame[-8:] = value
        heard = room.tick({5: frame})
        assert (heard == room.said[-1][5]).all()
        room.rest(HANG + 5)


def test_a_voice_is_whole_through_its_pauses(clock: FakeClock) -> None:
    room = Room(clock, 20, -55)
    room.rest(NEW + 20)
    loud, soft = word(4000, 0, 5), [np.zeros(FRAME_SAMPLES, np.int16)] * (HANG - 2)
    for frame in [*loud, *soft, *loud, *soft, *loud]:
        heard = room.tick({5: frame})
        assert (heard == room.said[-1][5]).all()


def test_all_voices_that_speak_at_once_are_heard(clock: FakeClock) -> None:
    room = Room(clock, 20, -55)
    room.rest(NEW + 20)
    frame = word(3000, 0, 2)[1]
    heard = room.tick(dict.fromkeys(range(20), frame))
    assert (heard == np.clip(room.said[-1].sum(axis=0), -32_768, 32_767)).all()


def test_a_newcomer_is_heard_at_once(clock: FakeClock) -> None:
    room = Room(clock, 12, -55)
    room.rest(NEW + 20)
    room.parties.append(room.hall.join(agent("late")))
    room.tick()
    for frame in word(300, 0, 5):
        heard = room.tick({12: frame})
        assert (heard == room.said[-1][12]).all()


@pytest.mark.parametrize("people", [1, 2, 5, UNGATED - 1])
def test_up_to_eight_people_hear_each_other_to_the_last_bit(clock: FakeClock, people: int) -> None:
    room = Room(clock, people, -62)
    room.tick()
    for _ in range(NEW + 3 * HANG):
        heard = room.tick()
        assert (heard == room.said[-1].sum(axis=0)).all()


def test_one_line_more_is_gated(clock: FakeClock) -> None:
    room = Room(clock, UNGATED, -62)
    room.rest(NEW + HANG)
    assert not room.tick().any()


def test_a_soft_voice_on_a_silent_line_is_heard(clock: FakeClock) -> None:
    gate = Gate()
    gate.seat(0)
    rows = np.array([0])

    def closed(peak: int) -> bool:
        return bool(gate.closed(rows, np.array([peak], np.int32))[0])

    for _ in range(NEW + 10):
        closed(0)
    assert closed(0)
    assert not closed(64)


def test_louder_noise_is_learned_slowly_and_softer_noise_at_once() -> None:
    gate = Gate()
    gate.seat(0)
    rows = np.array([0])

    def closed(peak: int) -> bool:
        return bool(gate.closed(rows, np.array([peak], np.int32))[0])

    for _ in range(NEW + 1):
        closed(100)
    assert closed(100)
    assert not closed(400)
    # A fan is switched on: 12 dB more are the line's noise after ten seconds.
    assert [closed(400) for _ in range(600)][-1]
    assert closed(100)
    assert [closed(90) for _ in range(10)] == [True] * 10
    assert not closed(310)
