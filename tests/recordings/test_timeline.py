"""The time line: each tick where it belongs, and mixes equal to those of the mixer."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from service.domain.wire import FRAME_SAMPLES, Encoding
from service.media.audio import g711
from service.media.audio.mixer import MixLayout
from service.recordings import timeline
from service.recordings.spool_format import MAX_TICKS, Record
from tests.support.spools import CLICK, FIRST, clicks, records_of


def rebuilt(records: list[Record], first: int, end: int) -> NDArray[np.int16]:
    blocks = list(timeline.track(records, first, end))
    assert all(block.size == 8000 for block in blocks[:-1])
    return np.concatenate(blocks) if blocks else np.zeros(0, np.int16)


def frame(value: int) -> bytes:
    return np.full(FRAME_SAMPLES, value, "<i2").tobytes()


spans = st.lists(st.tuples(st.integers(-20, 200), st.integers(1, MAX_TICKS)), max_size=8)


@given(spans, st.integers(-10, 60), st.integers(0, 150))
def test_each_tick_is_where_it_belongs(
    spans: list[tuple[int, int]], first: int, length: int
) -> None:
    """Of records that overlap, the first to reach a tick has it; a tick never goes back."""
    expected, records, value, reached = np.zeros(length), [], 0, FIRST + first
    for tick, ticks in spans:
        payload = b""
        for offset in range(ticks):
            value += 1
            payload += frame(value)
            at = FIRST + tick + offset
            if at >= reached and at < FIRST + first + length:
                expected[at - FIRST - first] = value
        records.append(Record(FIRST + tick, Encoding.LINEAR, payload))
        reached = max(reached, FIRST + tick + ticks)
    samples = rebuilt(records, FIRST + first, FIRST + first + length)
    assert samples.size == length * FRAME_SAMPLES
    assert (samples.reshape(-1, FRAME_SAMPLES) == expected[:, None]).all()


@pytest.mark.parametrize("encoding", list(Encoding))
def test_clicks_are_where_they_were_to_the_sample(encoding: Encoding) -> None:
    positions = [0, 1, 159, 160, 7_999, 8_000, 12_345, 23_999]
    samples = clicks(3, positions)
    again = rebuilt(records_of(samples, encoding=encoding), FIRST, FIRST + 150)
    coded = g711.decode(g711.encode(samples, encoding), encoding)
    assert (again == coded).all()
    assert np.flatnonzero(np.abs(again.astype(int)) > CLICK // 2).tolist() == positions


def test_a_gap_is_silence() -> None:
    early, late = (
        Record(FIRST, Encoding.MULAW, b"\0" * 160),
        Record(FIRST + 70, Encoding.ALAW, b"\0" * 160),
    )
    samples = rebuilt([early, late], FIRST, FIRST + 100).reshape(-1, FRAME_SAMPLES)
    assert np.flatnonzero(samples.any(axis=1)).tolist() == [0, 70]
    assert samples.shape == (100, FRAME_SAMPLES)


def test_of_records_that_overlap_the_earlier_one_holds() -> None:
    values = ((10, 4, 1), (12, 4, 2), (11, 2, 3))
    records = [
        Record(FIRST + tick, Encoding.LINEAR, frame(value) * ticks) for tick, ticks, value in values
    ]
    samples = rebuilt(records, FIRST + 9, FIRST + 18).reshape(-1, FRAME_SAMPLES)
    assert samples[:, 0].tolist() == [0, 1, 1, 1, 1, 2, 2, 0, 0]


@given(st.integers(1, 5), st.integers(0, 2**32 - 1), st.sampled_from([500, 30_000]))
def test_a_mix_of_tracks_is_what_a_listener_was_sent(voices: int, seed: int, peak: int) -> None:
    random = np.random.default_rng(seed)
    spoken = random.integers(-peak, peak, (voices, 60 * FRAME_SAMPLES)).astype(np.int16)
    layout = MixLayout([voices + 1])
    silence = np.zeros((1, FRAME_SAMPLES), np.int16)
    heard = [
        layout.mix(np.concatenate((frames, silence)))[0][-1]
        for frames in np.split(spoken, 60, axis=1)
    ]
    tracks = [timeline.track(records_of(samples), FIRST, FIRST + 60) for samples in spoken]
    assert (np.concatenate(list(timeline.mix(tracks))) == np.concatenate(heard)).all()


def test_channels_are_mixed_apart_and_an_empty_one_is_silent() -> None:
    one, two, three = (records_of(np.full(16_000, value, np.int16)) for value in (1, 20, 300))
    samples = np.concatenate(
        list(timeline.channels([[one, two], [three], []], FIRST - 1, FIRST + 100))
    )
    assert samples.shape == (101 * FRAME_SAMPLES, 3)
    assert (samples[:FRAME_SAMPLES] == 0).all()
    assert (samples[FRAME_SAMPLES:] == (21, 300, 0)).all()
