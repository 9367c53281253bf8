"""Noise gate of large rooms: it removes noise and does not cut the beginning of words."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from service.domain.wire import FRAME_SAMPLES
from service.media.rooms.gate import HANG, NEW, UNGATED, Gate
from tests.support.callers import agent
from tests.support.clocks import FakeClock
from tests.support.live_rooms_harness import LegClient, LiveRoomsHarness, steady

FULL_SINE = 32_768 / np.sqrt(2)

Samples = NDArray[np.int16]


class NoisyRoom:
    """A room of speakers on noisy lines, and a listener on a silent line."""

    def __init__(self, clock: FakeClock, people: int, level: float) -> None:
        self.harness = LiveRoomsHarness(clock)
        self._random = np.random.default_rng(7)
        self._rms = FULL_SINE * 10 ** (level / 20)
        self.speakers = [self.harness.join(agent(f"p{number}")) for number in range(people)]
        self.listener: LegClient = self.harness.join(agent("listener"))
        self.sent: list[NDArray[np.int32]] = []

    def noise(self) -> Samples:
        wave = self._random.normal(0, self._rms, FRAME_SAMPLES)
        return wave.round().astype(np.int16)

    def tick(self, speech: dict[int, Samples] | None = None) -> NDArray[np.int32]:
        """Send one frame of each speaker; return the frame that the listener hears."""
        frames = [self.noise() for _ in self.speakers]
        for number, samples in (speech or {}).items():
            frames[number] = frames[number] + samples
        for speaker, frame in zip(self.speakers, frames, strict=True):
            speaker.speak(frame)
        self.listener.speak(steady(0))
        self.harness.clock.advance(0.005)
        self.harness.live_rooms.tick(self.harness.clock.monotonic())
        self.harness.clock.advance(0.015)
        self.sent.append(np.array(frames, np.int32))
        heard = self.listener.heard_samples()[-FRAME_SAMPLES:]
        return heard

    def run(self, frames: int) -> NDArray[np.int32]:
        return np.concatenate([self.tick() for _ in range(frames)])


def level(samples: NDArray[np.int32]) -> float:
    """Return the level in dBFS; a full-scale sine has 0."""
    power = float(np.mean(samples.astype(np.float64) ** 2))
    return 20 * np.log10(max(np.sqrt(power), 1e-3) / FULL_SINE)


def test_noise_of_fifty_lines_is_not_heard(clock: FakeClock) -> None:
    room = NoisyRoom(clock, 50, -55)
    first = room.run(NEW - 5)
    assert level(first[-FRAME_SAMPLES * 10 :]) == pytest.approx(-38, abs=1)
    room.run(10)
    assert level(room.run(100)) < -70


@pytest.mark.parametrize("noise", [-65, -45])
def test_the_noise_of_a_large_room_is_below_that_of_one_line(clock: FakeClock, noise: int) -> None:
    room = NoisyRoom(clock, 50, noise)
    room.run(NEW + 10)
    assert level(room.run(60)) <= noise + 1


def word(peak: int, begins: int, frames: int) -> list[Samples]:
    """Return a 200 Hz voice with a 30 ms attack from a sample of its first frame on."""
    time = np.arange(frames * FRAME_SAMPLES)
    envelope = np.clip((time - begins) / 240, 0, 1)
    wave = peak * envelope * np.sign(np.sin(2 * np.pi * 200 * time / 8000 + 0.1))
    return list(wave.astype(np.int16).reshape(-1, FRAME_SAMPLES))


@pytest.mark.parametrize(("peak", "begins"), [(600, 0), (600, 120), (2000, 40), (8000, 80)])
def test_the_first_word_is_not_cut(clock: FakeClock, begins: int, peak: int) -> None:
    """The whole word is heard, from the frame in which it exceeds the noise."""
    room = NoisyRoom(clock, 50, -55)
    room.run(NEW + 20)
    for speaker in (3, 41):
        frames = word(peak, begins, 10)
        for number, frame in enumerate(frames):
            heard = room.tick({speaker: frame})
            if np.abs(frame).max() >= 400:
                assert (heard == room.sent[-1][speaker]).all(), number
        assert int(np.abs(frames[0]).max()) > 0
        room.run(HANG + 5)


def test_a_voice_that_starts_with_a_negative_sample_opens_the_gate(clock: FakeClock) -> None:
    room = NoisyRoom(clock, 20, -55)
    room.run(NEW + 20)
    for value in (-700, -30_000):
        frame = steady(0)
        frame[-8:] = value
        heard = room.tick({5: frame})
        assert (heard == room.sent[-1][5]).all()
        room.run(HANG + 5)


def test_a_voice_is_complete_across_its_pauses(clock: FakeClock) -> None:
    room = NoisyRoom(clock, 20, -55)
    room.run(NEW + 20)
    loud, soft = word(4000, 0, 5), [np.zeros(FRAME_SAMPLES, np.int16)] * (HANG - 2)
    for frame in [*loud, *soft, *loud, *soft, *loud]:
        heard = room.tick({5: frame})
        assert (heard == room.sent[-1][5]).all()


def test_simultaneous_voices_are_all_heard(clock: FakeClock) -> None:
    room = NoisyRoom(clock, 20, -55)
    room.run(NEW + 20)
    frame = word(3000, 0, 2)[1]
    heard = room.tick(dict.fromkeys(range(20), frame))
    assert (heard == np.clip(room.sent[-1].sum(axis=0), -32_768, 32_767)).all()


def test_a_new_participant_is_heard_at_once(clock: FakeClock) -> None:
    room = NoisyRoom(clock, 12, -55)
    room.run(NEW + 20)
    room.speakers.append(room.harness.join(agent("late")))
    room.tick()
    for frame in word(300, 0, 5):
        heard = room.tick({12: frame})
        assert (heard == room.sent[-1][12]).all()


@pytest.mark.parametrize("people", [1, 2, 5, UNGATED - 1])
def test_up_to_eight_participants_are_mixed_without_a_gate(clock: FakeClock, people: int) -> None:
    room = NoisyRoom(clock, people, -62)
    room.tick()
    for _ in range(NEW + 3 * HANG):
        heard = room.tick()
        assert (heard == room.sent[-1].sum(axis=0)).all()


def test_a_ninth_line_is_gated(clock: FakeClock) -> None:
    room = NoisyRoom(clock, UNGATED, -62)
    room.run(NEW + HANG)
    assert not room.tick().any()


def test_a_soft_voice_on_a_silent_line_is_heard(clock: FakeClock) -> None:
    gate = Gate()
    gate.assign(0)
    rows = np.array([0])

    def closed(peak: int) -> bool:
        return bool(gate.closed(rows, np.array([peak], np.int32))[0])

    for _ in range(NEW + 10):
        closed(0)
    assert closed(0)
    assert not closed(64)


def test_louder_noise_is_learned_slowly_and_quieter_noise_at_once() -> None:
    gate = Gate()
    gate.assign(0)
    rows = np.array([0])

    def closed(peak: int) -> bool:
        return bool(gate.closed(rows, np.array([peak], np.int32))[0])

    for _ in range(NEW + 1):
        closed(100)
    assert closed(100)
    assert not closed(400)
    # A fan is switched on: after ten seconds, 12 dB more count as the line's noise.
    assert [closed(400) for _ in range(600)][-1]
    assert closed(100)
    assert [closed(90) for _ in range(10)] == [True] * 10
    assert not closed(310)
