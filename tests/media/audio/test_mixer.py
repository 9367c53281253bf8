"""Mix minus self: each leg hears the sum of the others in its room."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from service.domain.wire import FRAME_SAMPLES
from service.media.audio.mixer import MixLayout

LOUD = 32_767


def rows(*values: int) -> NDArray[np.int16]:
    """Return one row per leg, each of one value."""
    return np.repeat(np.array(values, np.int16)[:, None], FRAME_SAMPLES, axis=1)


def mixed(sizes: list[int], *values: int) -> list[int]:
    """Return the value that each leg hears in every sample."""
    heard, _ = MixLayout(sizes).mix(rows(*values))
    assert heard.shape == (len(values), FRAME_SAMPLES)
    assert heard.dtype == np.int16
    assert (heard == heard[:, :1]).all()
    return [int(value) for value in heard[:, 0]]


@pytest.mark.parametrize("size", [1, 2, 3, 10])
def test_silence_is_mixed_to_silence(size: int) -> None:
    assert mixed([size], *[0] * size) == [0] * size


def test_a_lone_leg_hears_silence() -> None:
    assert mixed([1], 1234) == [0]
    assert mixed([1, 1, 1], 5, -6, LOUD) == [0, 0, 0]


def test_two_legs_hear_each_other() -> None:
    assert mixed([2], 100, -7) == [-7, 100]


def test_each_of_three_hears_the_other_two() -> None:
    assert mixed([3], 1, 10, 100) == [110, 101, 11]


def test_every_sample_is_mixed_independently() -> None:
    ramp = np.arange(FRAME_SAMPLES, dtype=np.int16)
    heard, _ = MixLayout([3]).mix(np.stack([ramp, ramp[::-1], ramp * 0]))
    assert (heard[0] == ramp[::-1]).all()
    assert (heard[1] == ramp).all()
    assert (heard[2] == FRAME_SAMPLES - 1).all()


def test_clipping_saturates_and_never_wraps() -> None:
    assert mixed([3], LOUD, LOUD, LOUD) == [LOUD] * 3
    assert mixed([3], -32_768, -32_768, -32_768) == [-32_768] * 3
    assert mixed([200], *[LOUD] * 200) == [LOUD] * 200


def test_a_sum_that_returns_into_range_is_not_clipped() -> None:
    assert mixed([5], LOUD, LOUD, -LOUD, -LOUD, 0) == [-LOUD, -LOUD, LOUD, LOUD, 0]


def test_a_voice_is_equally_loud_among_two_and_ten_legs() -> None:
    assert mixed([2], 500, 0)[1] == mixed([10], 500, *[0] * 9)[9] == 500


def test_rooms_do_not_hear_each_other() -> None:
    assert mixed([2, 1, 3], 1, 2, 999, 10, 20, 30) == [2, 1, 0, 50, 40, 30]


def test_a_mix_without_legs_is_empty() -> None:
    mixed, clipped = MixLayout([]).mix(np.zeros((0, FRAME_SAMPLES), np.int16))
    assert mixed.shape == (0, FRAME_SAMPLES)
    assert clipped == []


def test_mixing_does_not_change_its_input() -> None:
    heard = rows(1, 2, 3)
    MixLayout([3]).mix(heard)
    assert (heard == rows(1, 2, 3)).all()


houses = st.lists(
    st.lists(st.integers(-32_768, 32_767), min_size=1, max_size=6), min_size=1, max_size=6
)


def clipped(sizes: list[int], *values: int) -> list[int]:
    return list(MixLayout(sizes).mix(rows(*values))[1])


def test_legs_that_hear_a_clipped_sum_are_reported() -> None:
    assert clipped([2, 3, 1], LOUD, LOUD, LOUD, LOUD, -1, LOUD) == [4]
    assert clipped([3, 3], -20_000, -20_000, 1, 20_000, 20_000, 0) == [2, 5]
    assert clipped([3], LOUD - 1, 1, 0) == []


def test_one_clipped_sample_is_enough() -> None:
    heard = rows(LOUD, 0, 0)
    heard[1, 7] = 1
    assert list(MixLayout([3]).mix(heard)[1]) == [2]


@given(houses)
def test_each_leg_hears_the_clipped_sum_of_the_others_in_its_room(house: list[list[int]]) -> None:
    expected = [max(-32_768, min(32_767, sum(room) - voice)) for room in house for voice in room]
    assert mixed([len(room) for room in house], *chain.from_iterable(house)) == expected


VOICES = [1, -20, 300, -4000, 30_000]


@given(st.permutations(VOICES))
def test_the_order_of_joining_does_not_change_the_mix(order: list[int]) -> None:
    def heard_by(voices: list[int]) -> dict[int, int]:
        return dict(zip(voices, mixed([5], *voices), strict=True))

    assert heard_by(order) == heard_by(VOICES)


@given(
    st.integers(3, 12),
    st.lists(
        st.lists(st.integers(-32_768, LOUD), min_size=12, max_size=12), min_size=1, max_size=4
    ),
)
def test_rooms_of_one_size_are_mixed_exactly_at_any_loudness(
    size: int, values: list[list[int]]
) -> None:
    said = np.array([one[:size] for one in values])
    others = said.sum(axis=1, keepdims=True) - said
    heard, clipped = MixLayout([size] * len(values)).mix(rows(*said.ravel().tolist()))
    within = np.clip(others, -32_768, LOUD)
    assert heard[:, 0].tolist() == within.ravel().tolist()
    assert sorted(clipped) == np.flatnonzero(within != others).tolist()
