"""How loud it is on each leg: what its peer says and what it hears, now and by the second.

Pure, and for all legs of a tick at once. What a level and its code are, ``loudness`` says.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from service.loudness import Loudness, decibels
from service.media.g711 import Codes, Samples
from service.times import Millis

EVERY = 5
"""Of so many frames one is measured: ten of a second's fifty tell how loud it was.

Another of the five each half second, or a sound that comes again and again in step with this, such
as a beep twice a second, would be measured always or never.
"""

PER_SECOND = 10
"""Frames measured in a second."""

LONGEST = 4 * 3600
"""Seconds of one leg that are recorded. Of a longer one the rest is not."""

FULL_SINE = 2.0**29
"""The mean square of a sine of full scale."""

Powers: TypeAlias = NDArray[np.float32]


class Meter:
    """The loudness of one leg by the second, since it started."""

    __slots__ = ("_heard", "_leg_id", "_said", "_started_at")

    def __init__(self, leg_id: str, started_at: Millis) -> None:
        self._leg_id = leg_id
        self._started_at = started_at
        self._said = bytearray()
        self._heard = bytearray()

    def add(self, said: int, heard: int) -> None:
        """One more second, as codes."""
        if len(self._said) < LONGEST:
            self._said.append(said)
            self._heard.append(heard)

    def loudness(self) -> Loudness:
        return Loudness(self._leg_id, self._started_at, bytes(self._said), bytes(self._heard))


class Levels:
    """The levels of many legs at once, by their meters; ``before`` is whom this takes over from."""

    def __init__(self, meters: Sequence[Meter], before: Levels | None = None) -> None:
        self._meters = meters
        self._rows = {meter: row for row, meter in enumerate(meters)}
        self._tick = 0
        # What is said in the first row, what is heard in the second.
        self._now = np.zeros((2, len(meters)), np.uint8)
        self._sums = np.zeros((2, len(meters)), np.float32)
        self._measured = np.zeros(len(meters), np.intp)
        if before is not None:
            self._take_over(before)

    def measure(self, said: Samples, heard: Samples) -> None:
        """A tick's frames, a row for each meter."""
        turn, tick = divmod(self._tick, EVERY * EVERY)
        self._tick = (self._tick + 1) % EVERY**3
        if tick % EVERY != EVERY - 1 - turn:
            return
        power = np.stack((powers(said), powers(heard)))
        self._now = coded(power)
        self._sums += power
        self._measured += 1
        full = np.flatnonzero(self._measured == PER_SECOND)
        if len(full):
            said_codes, heard_codes = coded(self._sums[:, full] / PER_SECOND).tolist()
            for row, *codes in zip(full.tolist(), said_codes, heard_codes, strict=True):
                self._meters[row].add(*codes)
            self._sums[:, full] = 0
            self._measured[full] = 0

    def now(self) -> tuple[list[float | None], list[float | None]]:
        """What is said and what is heard in dBFS, for each meter; ``None`` is silence."""
        said, heard = self._now
        return decibels(said.tolist()), decibels(heard.tolist())

    def _take_over(self, before: Levels) -> None:
        pairs = [
            (row, before._rows[meter]) for meter, row in self._rows.items() if meter in before._rows
        ]
        self._tick = before._tick
        if pairs:
            here, there = np.array(pairs).T
            self._now[:, here] = before._now[:, there]
            self._sums[:, here] = before._sums[:, there]
            self._measured[here] = before._measured[there]


def powers(frames: Samples) -> Powers:
    """The power of each row, of which a sine of full scale has 1."""
    wide = frames.astype(np.float32)
    power: Powers = np.einsum("ij,ij->i", wide, wide) / np.float32(frames.shape[1] * FULL_SINE)
    return power


def coded(power: NDArray[np.floating]) -> Codes:
    """The codes of powers as ``powers`` gives them."""
    with np.errstate(divide="ignore"):
        steps = 20 * np.log10(power)
    codes: Codes = np.clip(np.rint(steps) + 255, 0, 255).astype(np.uint8)
    return codes
