"""Noise gate: in a large room, legs that carry only noise are left out of the mix.

Fifty legs with noise at -55 dBFS would sum to -38 dBFS. A leg's gate closes after a while without
sound above its own noise, and opens with the first frame that has some, so that no word loses its
beginning. A frame well above the noise of any telephone line always opens it.
Pure, and for all legs of a tick at once.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

UNGATED = 8
"""Size of a room up to which all legs are always mixed."""

LOUD = 1024
"""Peak that always opens the gate: -30 dBFS."""

ABOVE = 3.0
"""Ratio of peak to noise that opens the gate: 9.5 dB."""

LEAST = 20.0
"""Lowest noise assumed, -64 dBFS: a lower peak is no sound, even on a silent leg."""

RISE = 1.003
"""Largest rise of the noise estimate in a frame: 1.3 dB in a second."""

HANG = 30
"""Frames for which a gate stays open after a sound. Pauses within speech are shorter."""

NEW = 50
"""Frames for which the gate of a new leg is open, until its noise is known."""

Rows: TypeAlias = NDArray[np.intp]


class Gate:
    """Gates of all legs, by the rows of the tick's matrix."""

    def __init__(self) -> None:
        self._tick = 0
        self._noise = np.zeros(0)  # peaks of noise alone; 0 if unknown
        self._open = np.zeros(0, np.int64)  # the last tick for which the gate is open

    def assign(self, row: int) -> None:
        """Begin a leg in this row."""
        more = row + 1 - len(self._noise)
        if more > 0:
            more = max(more, len(self._noise))
            self._noise = np.concatenate((self._noise, np.zeros(more)))
            self._open = np.concatenate((self._open, np.zeros(more, np.int64)))
        self._noise[row] = 0
        self._open[row] = self._tick + NEW

    def take_over(self, row: int, before: Gate, there: int) -> None:
        """Continue in this row with the state of a row of another object."""
        self._noise[row] = before._noise[there]
        self._open[row] = before._open[there] - before._tick + self._tick

    def closed(self, rows: Rows, peaks: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Return which of these rows are closed in this tick, given their peaks."""
        self._tick += 1
        noise = self._noise[rows]
        opens = (peaks >= LOUD) | (peaks >= ABOVE * np.maximum(noise, LEAST))
        opened = rows[opens]
        self._open[opened] = np.maximum(self._open[opened], self._tick + HANG)
        # A silent frame says nothing about the noise.
        lower = np.where(noise > 0, np.minimum(peaks, noise * RISE), peaks)
        self._noise[rows] = np.where(peaks > 0, lower, noise)
        shut: NDArray[np.bool_] = self._open[rows] < self._tick
        return shut
