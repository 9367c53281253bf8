"""The gate: in a large room, lines that carry only noise are left out of the mix.

Fifty lines with noise at -55 dBFS would sum to -38 dBFS. A line closes after a while without sound
above its own noise, and opens with the first frame that has some, so that no word loses its
beginning. A frame well above the noise of any telephone line always opens it.
Pure, and for all lines of a tick at once.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

UNGATED = 8
"""People in a room up to which all lines are mixed at all times."""

LOUD = 1024
"""A peak that always opens: -30 dBFS."""

ABOVE = 3.0
"""How far a peak must be above the noise to open: 9.5 dB."""

LEAST = 20.0
"""The lowest noise assumed, -64 dBFS: on a silent line a lower peak is no sound either."""

RISE = 1.003
"""By how much the noise may be found to have risen in a frame: 1.3 dB in a second."""

HANG = 30
"""Frames for which a line stays open after a sound. Pauses within speech are shorter."""

NEW = 50
"""Frames for which a line is open when it joins, until its noise is known."""

Rows: TypeAlias = NDArray[np.intp]


class Gate:
    """A row for each line of a tick's matrix."""

    def __init__(self) -> None:
        self._tick = 0
        self._noise = np.zeros(0)  # peaks of nothing but noise; 0 where that is not known
        self._open = np.zeros(0, np.int64)  # the last tick for which a line is open

    def seat(self, row: int) -> None:
        """A line begins in this row."""
        more = row + 1 - len(self._noise)
        if more > 0:
            more = max(more, len(self._noise))
            self._noise = np.concatenate((self._noise, np.zeros(more)))
            self._open = np.concatenate((self._open, np.zeros(more, np.int64)))
        self._noise[row] = 0
        self._open[row] = self._tick + NEW

    def take_over(self, row: int, before: Gate, there: int) -> None:
        """Go on in this row with a line of another gate."""
        self._noise[row] = before._noise[there]
        self._open[row] = before._open[there] - before._tick + self._tick

    def closed(self, rows: Rows, peaks: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Which of these lines are closed in this tick, in which they have these peaks."""
        self._tick += 1
        noise = self._noise[rows]
        opens = (peaks >= LOUD) | (peaks >= ABOVE * np.maximum(noise, LEAST))
        opened = rows[opens]
        self._open[opened] = np.maximum(self._open[opened], self._tick + HANG)
        # A line from which nothing came says nothing of its noise.
        lower = np.where(noise > 0, np.minimum(peaks, noise * RISE), peaks)
        self._noise[rows] = np.where(peaks > 0, lower, noise)
        shut: NDArray[np.bool_] = self._open[rows] < self._tick
        return shut
