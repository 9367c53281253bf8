"""Playback to the caller, in samples of which 8 are a millisecond."""

import numpy as np
import pytest

from service.simulator.audio.playback import PLAYOUT, Playback


@pytest.fixture
def playback():
    return Playback(buffer_seconds=1.0)


def tone(value, size=160):
    return np.full(size, value, np.int16)


def test_audio_plays_in_order_after_a_short_delay(playback):
    playback.play(tone(1), 1000)
    playback.play(tone(2), 1010)
    start = 1000 + PLAYOUT
    heard = playback.recording(3000)
    assert heard[:start].max() == 0
    assert (heard[start : start + 160] == 1).all()
    assert (heard[start + 160 : start + 320] == 2).all()
    assert heard[start + 320 :].max() == 0


def test_slightly_late_frames_play_without_a_gap(playback):
    for number, late in enumerate([0, 100, 250, 0, 300]):
        playback.play(tone(7), number * 160 + late)
    assert (playback.recording(PLAYOUT + 800)[PLAYOUT:] == 7).all()
    assert playback.missing_samples == 0


def test_late_frame_leaves_silence_that_is_counted(playback):
    playback.play(tone(1), 0)
    late = PLAYOUT + 160 + 500
    playback.play(tone(2), late)
    heard = playback.recording(late + PLAYOUT + 160)
    assert (heard[PLAYOUT + 160 : late + PLAYOUT] == 0).all()
    assert (heard[late + PLAYOUT :] == 2).all()
    assert playback.missing_samples == 500 + PLAYOUT


def test_mark_is_reached_after_the_audio_before_it(playback):
    playback.play(tone(1), 0)
    playback.mark("m", 10)
    end = PLAYOUT + 160
    assert playback.due(end - 1) == []
    assert playback.due(end) == ["m"]
    assert playback.due(end + 1000) == []


def test_mark_without_audio_is_reached_immediately(playback):
    playback.mark("m", 50)
    assert playback.due(50) == ["m"]


def test_clear_drops_pending_audio_and_returns_pending_marks(playback):
    playback.play(tone(1, 1600), 0)
    playback.mark("a", 0)
    playback.mark("b", 0)
    now = PLAYOUT + 100
    assert playback.clear(now) == ["a", "b"]
    heard = playback.recording(3000)
    assert (heard[PLAYOUT:now] == 1).all()
    assert heard[now:].max() == 0
    assert playback.heard_samples == 100
    assert playback.due(5000) == []


def test_silence_after_a_clear_is_not_missing_audio(playback):
    playback.play(tone(1), 0)
    playback.clear(PLAYOUT)
    playback.play(tone(2), 4000)
    assert playback.missing_samples == 0
    assert (playback.recording(6000)[4000 + PLAYOUT :][:160] == 2).all()


def test_audio_after_a_clear_does_not_wait_for_cleared_audio(playback):
    playback.play(tone(1, 4000), 0)
    playback.clear(500)
    playback.play(tone(2), 600)
    assert (playback.recording(6000)[600 + PLAYOUT :][:160] == 2).all()


def test_audio_beyond_the_buffer_is_discarded_and_counted(playback):
    playback.play(tone(1, 7000), 0)
    playback.play(tone(2, 4000), 0)
    assert playback.discarded_samples == 4000
    assert playback.recording(12_000).max() == 1


def test_recording_has_the_requested_length(playback):
    playback.play(tone(1), 0)
    assert playback.recording(PLAYOUT + 60).tolist() == [0] * PLAYOUT + [1] * 60
    assert playback.recording(0).size == 0
