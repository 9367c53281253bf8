"""The benchmark's test signal, and how exactly a listener identifies it in a mix."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from bench.load import test_signal
from service.domain.wire import FRAME_SAMPLES, Encoding
from service.media.audio import g711

MULAW, ALAW, LINEAR = Encoding.MULAW, Encoding.ALAW, Encoding.LINEAR


def mixed(*said: tuple[int, int, Encoding]) -> np.ndarray:
    """Return the sum of these frames (seat, number, encoding), without the service's mixer."""
    total = np.zeros(FRAME_SAMPLES, np.int64)
    for seat, number, encoding in said:
        total += g711.decode(test_signal.encode(seat, number, encoding), encoding)
    return np.clip(total, -32_768, 32_767).astype(np.int16)


@pytest.mark.parametrize("encoding", list(Encoding))
def test_every_number_is_distinguished(encoding: Encoding) -> None:
    said = [test_signal.encode(1, number, encoding) for number in range(test_signal.NUMBERS)]
    heard = test_signal.decode(b"".join(said), 0, [MULAW, encoding], encoding)
    assert heard.numbers[:, 1].tolist() == list(range(test_signal.NUMBERS))
    assert heard.exact[:, 1].all()


def test_in_a_room_of_two_only_unchanged_bytes_are_exact() -> None:
    said = test_signal.encode(1, 9, MULAW)
    for place in range(FRAME_SAMPLES):
        changed = bytearray(said)
        changed[place] ^= 1
        assert not test_signal.decode(bytes(changed), 0, [MULAW, MULAW], MULAW).exact[0, 1], place


def test_a_mix_of_four_dialects_is_exact_in_each_of_them() -> None:
    room = [MULAW, MULAW, ALAW, LINEAR]
    said = [(seat, 10 + seat, encoding) for seat, encoding in enumerate(room)]
    for listener, outbound in enumerate((MULAW, MULAW, MULAW, LINEAR)):
        mix = mixed(*(one for one in said if one[0] != listener))
        heard = test_signal.decode(g711.encode(mix, outbound), listener, room, outbound)
        expected = [10, 11, 12, 13]
        expected[listener] = -1
        assert heard.numbers[0].tolist() == expected
        assert heard.exact[0].tolist() == [number >= 0 for number in expected]


def test_the_largest_room_is_decoded_completely() -> None:
    room = [MULAW] * test_signal.MAX_SEATS
    mix = mixed(*((seat, seat, MULAW) for seat in range(1, test_signal.MAX_SEATS)))
    heard = test_signal.decode(g711.encode(mix, MULAW), 0, room, MULAW)
    assert heard.numbers[0].tolist() == [-1, *range(1, test_signal.MAX_SEATS)]
    assert heard.exact[0, 1:].all()


def test_an_absent_seat_is_missed_and_the_mix_of_the_others_is_exact() -> None:
    heard = test_signal.decode(g711.encode(mixed((1, 5, MULAW)), MULAW), 0, [MULAW] * 3, MULAW)
    assert heard.numbers[0].tolist() == [-1, 5, -1]
    assert heard.exact[0].tolist() == heard.present[0].tolist() == [False, True, False]


def test_hearing_oneself_is_not_exact() -> None:
    mix = mixed((0, 3, MULAW), (1, 3, MULAW))
    assert not test_signal.decode(g711.encode(mix, MULAW), 0, [MULAW] * 2, MULAW).exact.any()


def test_a_faded_frame_is_not_exact() -> None:
    faded = (mixed((1, 3, LINEAR)) * np.linspace(0, 1, FRAME_SAMPLES)).astype(np.int16)
    assert not test_signal.decode(g711.encode(faded, LINEAR), 0, [LINEAR] * 2, LINEAR).exact.any()


@pytest.mark.parametrize(
    "fade",
    [
        lambda said: said[::-1] * np.linspace(1, 0, FRAME_SAMPLES),
        lambda said: said * np.minimum(np.arange(FRAME_SAMPLES) / 40, 1.0),
    ],
    ids=["out, backwards", "in"],
)
def test_a_fade_damages_only_the_faded_seat(fade: Callable[..., np.ndarray]) -> None:
    for faded in range(1, 10):
        others = [(seat, seat, MULAW) for seat in range(1, 10) if seat != faded]
        mix = mixed(*others) + fade(mixed((faded, 42, MULAW))).astype(np.int16)
        heard = test_signal.decode(g711.encode(mix, MULAW), 0, [MULAW] * 10, MULAW)
        assert heard.present[0].tolist() == [seat > 0 for seat in range(10)]
        assert heard.exact[0].tolist() == [seat not in (0, faded) for seat in range(10)]


def test_a_wrong_sum_counts_against_every_seat_in_the_mix() -> None:
    mix = mixed(*((seat, seat, MULAW) for seat in range(1, 10)))
    mix[FRAME_SAMPLES // 2] += 2000
    heard = test_signal.decode(g711.encode(mix, MULAW), 0, [MULAW] * 10, MULAW)
    assert heard.present[0, 1:].all()
    assert not heard.exact.any()
