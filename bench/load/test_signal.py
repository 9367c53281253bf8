"""The test signal: frames that can be identified sample by sample in a mix.

Each frame carries its number. Every seat (index of a participant in its room) has two marker
samples of the frame, in which all other seats are silent: they hold the number in base eight. The
middle of the frame is a constant that depends on the seat, so that a mix has the sum of the
constants there. So a listener can tell whose frames it hears, which ones, and whether each is exact
in the mix.

The two marker samples mirror each other. A frame that is played backwards, to fade it out where the
next one is missing, does not touch the markers of other seats and damages only its own.
This file does no I/O.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from service.domain.wire import FRAME_SAMPLES, Encoding
from service.media.audio import g711

NUMBERS = 64
"""Frames after which the numbers repeat: 1.28 s, longer than any delay worth measuring."""

MAX_SEATS = 50

_VOICE = slice(MAX_SEATS, FRAME_SAMPLES - MAX_SEATS)
"""The samples in which all seats send their constant."""

_LEVELS = np.array((-16000, -12000, -8000, -4000, 4000, 8000, 12000, 16000), np.int32)
"""The digits from 0 to 7, far enough from silence and from each other for G.711."""

_MARGIN = 1500

_VOICES = np.array([(200 + 37 * seat) * (-1) ** seat for seat in range(MAX_SEATS)], np.int32)

_SOFTER = {Encoding.MULAW: 1, Encoding.ALAW: 1, Encoding.LINEAR: 64}
"""Divisors of the signal. Linear PCM is so quiet that a server may drop its frames to catch up.

Speech has pauses for that; here every frame carries a number.
"""


def encode(seat: int, number: int, encoding: Encoding) -> bytes:
    """Return the frame with this number as the seat's participant sends it."""
    samples = np.zeros(FRAME_SAMPLES, np.int32)
    samples[_marker(seat)] = _LEVELS[[number // 8, number % 8]]
    samples[_VOICE] = _VOICES[seat]
    return g711.encode((samples // _SOFTER[encoding]).astype(np.int16), encoding)


@dataclass(frozen=True, slots=True)
class Decoded:
    """Arrays with a row per frame and a column per seat.

    ``numbers`` has the numbers of the heard frames, -1 if the seat is absent. ``present`` is set if
    any of the seat's signal is there, legible or not, and ``exact`` if its frame is in the mix
    unchanged to the last sample. A wrong sum of the constants counts against every seat in the mix,
    unless a marker in the mix is damaged.
    """

    numbers: NDArray[np.int64]
    present: NDArray[np.bool_]
    exact: NDArray[np.bool_]


def decode(payload: bytes, seat: int, room: Sequence[Encoding], outbound: Encoding) -> Decoded:
    """Return the signal that ``seat`` hears. ``room`` has the encoding of each seat."""
    frames = g711.decode(payload, outbound).reshape(-1, FRAME_SAMPLES).astype(np.int32)
    numbers = np.full((len(frames), len(room)), -1, np.int64)
    total = np.zeros_like(frames)
    others = [other for other in range(len(room)) if other != seat]
    for other in others:
        inbound = room[other]
        written = frames[:, _marker(other)]
        levels = _LEVELS // _SOFTER[inbound]
        digits = np.abs(written[:, :, None] - levels).argmin(2)
        legible = (np.abs(written - levels[digits]) < _MARGIN // _SOFTER[inbound]).all(1)
        found = digits[legible] @ (8, 1)
        numbers[legible, other] = found
        total[legible] += _decoded_frames(other, inbound)[found]
    summed = np.clip(total, -32_768, 32_767).astype(np.int16)
    right = frames == g711.decode(g711.encode(summed, outbound), outbound).reshape(frames.shape)
    damaged = np.zeros(numbers.shape, np.bool_)
    for other in others:
        damaged[:, other] = ~right[:, _marker(other)].all(1)
        right[:, _marker(other)] = True
    shared = right.all(1) | damaged.any(1)
    present = (numbers >= 0) | damaged
    return Decoded(numbers, present, present & ~damaged & shared[:, None])


def _marker(seat: int) -> list[int]:
    """Return the indexes of the seat's two marker samples."""
    return [seat, FRAME_SAMPLES - 1 - seat]


@cache
def _decoded_frames(seat: int, encoding: Encoding) -> NDArray[np.int32]:
    """Return all frames of a participant, decoded."""
    said = b"".join(encode(seat, number, encoding) for number in range(NUMBERS))
    return g711.decode(said, encoding).reshape(NUMBERS, FRAME_SAMPLES).astype(np.int32)
