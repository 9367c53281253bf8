"""What every participant says, and what a listener must hear of it, sample by sample.

Each frame carries its number. Every seat of a room has two samples of the frame to itself, in
which the others are silent: there it writes the number in base eight. The middle of the frame is
one voice, a constant of the seat's own, so that what is mixed there is the sum of the voices heard.
So a listener can tell whose frames it hears, which ones, and whether each is exact in the mix.

The two samples mirror each other: one that is played backwards, to fade it out where the next one
is missing, stays out of the places of others and spoils itself alone.
Pure.
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
"""Frames after which the numbers begin again: 1.28 s, longer than any delay worth measuring."""

MAX_SEATS = 50

_VOICE = slice(MAX_SEATS, FRAME_SAMPLES - MAX_SEATS)
"""The samples in which all speak."""

_LEVELS = np.array((-16000, -12000, -8000, -4000, 4000, 8000, 12000, 16000), np.int32)
"""The digits from 0 to 7, as far from silence and from each other as G.711 wants them."""

_MARGIN = 1500

_VOICES = np.array([(200 + 37 * seat) * (-1) ** seat for seat in range(MAX_SEATS)], np.int32)

_SOFTER = {Encoding.MULAW: 1, Encoding.ALAW: 1, Encoding.LINEAR: 64}
"""A program speaks so softly that a server which has got behind may cut its frames out unheard.

A microphone has pauses for that; here every frame carries a number.
"""


def say(seat: int, number: int, encoding: Encoding) -> bytes:
    """The frame with this number as the seat's participant sends it."""
    samples = np.zeros(FRAME_SAMPLES, np.int32)
    samples[_places(seat)] = _LEVELS[[number // 8, number % 8]]
    samples[_VOICE] = _VOICES[seat]
    return g711.encode((samples // _SOFTER[encoding]).astype(np.int16), encoding)


@dataclass(frozen=True, slots=True)
class Heard:
    """Each with a row per frame and a column per seat.

    ``numbers`` are of the frames heard, -1 where that seat is not. ``present`` is where there is
    anything of it, legible or not, and ``exact`` where it is in the mix as it was said, to the last
    sample. What all share, the sum of the voices, is held against everybody who is in the mix, but
    for mixes of which something else is known to be spoilt.
    """

    numbers: NDArray[np.int64]
    present: NDArray[np.bool_]
    exact: NDArray[np.bool_]


def listen(payload: bytes, seat: int, room: Sequence[Encoding], outbound: Encoding) -> Heard:
    """Whom the listener in ``seat`` hears; ``room`` is what each seat speaks in."""
    frames = g711.decode(payload, outbound).reshape(-1, FRAME_SAMPLES).astype(np.int32)
    numbers = np.full((len(frames), len(room)), -1, np.int64)
    total = np.zeros_like(frames)
    others = [other for other in range(len(room)) if other != seat]
    for other in others:
        inbound = room[other]
        written = frames[:, _places(other)]
        levels = _LEVELS // _SOFTER[inbound]
        digits = np.abs(written[:, :, None] - levels).argmin(2)
        legible = (np.abs(written - levels[digits]) < _MARGIN // _SOFTER[inbound]).all(1)
        found = digits[legible] @ (8, 1)
        numbers[legible, other] = found
        total[legible] += _said(other, inbound)[found]
    summed = np.clip(total, -32_768, 32_767).astype(np.int16)
    right = frames == g711.decode(g711.encode(summed, outbound), outbound).reshape(frames.shape)
    spoilt = np.zeros(numbers.shape, np.bool_)
    for other in others:
        spoilt[:, other] = ~right[:, _places(other)].all(1)
        right[:, _places(other)] = True
    shared = right.all(1) | spoilt.any(1)
    present = (numbers >= 0) | spoilt
    return Heard(numbers, present, present & ~spoilt & shared[:, None])


def _places(seat: int) -> list[int]:
    """The samples that the seat has to itself."""
    return [seat, FRAME_SAMPLES - 1 - seat]


@cache
def _said(seat: int, encoding: Encoding) -> NDArray[np.int32]:
    """All frames of a participant, as they are once they have been decoded."""
    said = b"".join(say(seat, number, encoding) for number in range(NUMBERS))
    return g711.decode(said, encoding).reshape(NUMBERS, FRAME_SAMPLES).astype(np.int32)
