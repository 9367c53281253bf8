"""Levels of each leg in both directions, current and by the second.

Pure, and for all legs of a tick at once. ``domain/loudness.py`` defines levels and their codes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from service.clock import Millis
from service.domain.loudness import Loudness, decibels
from service.media.audio.g711 import Codes, Samples

EVERY = 5
"""One frame in this many is measured: ten of a second's fifty suffice.

Each half second another one of the five is measured. Otherwise a periodic sound, such as a beep
twice a second, could be measured always or never.
"""

PER_SECOND = 10
"""Frames measured in a second."""

LONGEST = 4 * 3600
"""Seconds of one leg that are recorded, at most."""

FULL_SINE = 2.0**29
"""Mean square of a sine at full scale."""

Powers: TypeAlias = NDArray[np.float32]


class Meter:
    """Loudness of one leg by the second, since its start."""

    __slots__ = ("_heard", "_leg_id", "_said", "_started_at")

    def __init__(self, leg_id: str, started_at: Millis) -> None:
        self._leg_id = leg_id
        self._started_at = started_at
        self._said = bytearray()
        self._heard = bytearray()

    @classmethod
    def continued(cls, before: Loudness) -> Meter:
        """Return a meter that goes on after these seconds."""
        meter = cls(before.leg_id, before.started_at)
        meter._said.extend(before.said)
        meter._heard.extend(before.heard)
        return meter

    def add(self, said: int, heard: int) -> None:
        """Add a second, as codes."""
        if len(self._said) < LONGEST:
            self._said.append(said)
            self._heard.append(heard)

    def loudness(self) -> Loudness:
        return Loudness(self._leg_id, self._started_at, bytes(self._said), bytes(self._heard))


class Levels:
    """Levels of many legs, each with a meter and a row.

    ``meters`` are the initial ones, in rows from 0 on.
    """

    def __init__(self, meters: Iterable[Meter] = ()) -> None:
        self._meters: list[Meter | None] = []
        self._tick = 0
        # Spoken levels in the first row, heard ones in the second.
        self._now = np.zeros((2, 0), np.uint8)
        self._sums = np.zeros((2, 0), np.float32)
        self._measured = np.zeros(0, np.intp)
        for row, meter in enumerate(meters):
            self.assign(row, meter)

    def assign(self, row: int, meter: Meter | None) -> None:
        """Measure this row for a meter; ``None`` stops that."""
        more = row + 1 - len(self._meters)
        if more > 0:
            more = max(more, len(self._meters))
            self._meters += [None] * more
            self._now = np.concatenate((self._now, np.zeros((2, more), np.uint8)), axis=1)
            self._sums = np.concatenate((self._sums, np.zeros((2, more), np.float32)), axis=1)
            self._measured = np.concatenate((self._measured, np.zeros(more, np.intp)))
        self._meters[row] = meter
        self._now[:, row] = self._sums[:, row] = self._measured[row] = 0

    def take_over(self, row: int, before: Levels, there: int) -> None:
        """Continue in this row with the state of a row of another object."""
        self._tick = before._tick
        self._now[:, row] = before._now[:, there]
        self._sums[:, row] = before._sums[:, there]
        self._measured[row] = before._measured[there]

    def measure(self, said: Samples, heard: Samples) -> None:
        """Measure a tick's frames of all rows up to the last one in use."""
        turn, tick = divmod(self._tick, EVERY * EVERY)
        self._tick = (self._tick + 1) % EVERY**3
        if tick % EVERY != EVERY - 1 - turn:
            return
        power = np.stack((powers(said), powers(heard)))
        count = len(said)
        self._now[:, :count] = coded(power)
        self._sums[:, :count] += power
        self._measured[:count] += 1
        full = np.flatnonzero(self._measured == PER_SECOND)
        if len(full):
            said_codes, heard_codes = coded(self._sums[:, full] / PER_SECOND).tolist()
            for row, *codes in zip(full.tolist(), said_codes, heard_codes, strict=True):
                if (meter := self._meters[row]) is not None:
                    meter.add(*codes)
            self._sums[:, full] = 0
            self._measured[full] = 0

    def now(
        self, rows: Sequence[int] | None = None
    ) -> tuple[list[float | None], list[float | None]]:
        """Return spoken and heard levels in dBFS of these rows, or of all; ``None`` is silence."""
        said, heard = self._now if rows is None else self._now[:, np.array(rows, np.intp)]
        return decibels(said.tolist()), decibels(heard.tolist())


def powers(frames: Samples) -> Powers:
    """Return the power of each row; a sine at full scale has 1."""
    wide = frames.astype(np.float32)
    power: Powers = np.einsum("ij,ij->i", wide, wide) / np.float32(frames.shape[1] * FULL_SINE)
    return power


def coded(power: NDArray[np.floating]) -> Codes:
    """Return the codes of powers."""
    with np.errstate(divide="ignore"):
        steps = 20 * np.log10(power)
    codes: Codes = np.clip(np.rint(steps) + 255, 0, 255).astype(np.uint8)
    return codes
