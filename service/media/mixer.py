"""Mix minus self: every leg hears the sum of the others in its room.

One vectorised pass over all rooms. Sums are ``int32`` and saturate once, at the end: dividing by
the number of voices would make everybody quieter whenever somebody joins.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from service.media.g711 import Samples


class Seating:
    """Which rows of a tick's matrix are one room: ``sizes`` rows each, one room after another."""

    __slots__ = ("_room_of", "_starts", "rows")

    def __init__(self, sizes: Sequence[int]) -> None:
        counts = np.array(sizes, dtype=np.intp)
        self.rows = int(counts.sum())
        self._starts: NDArray[np.intp] = np.cumsum(counts) - counts
        self._room_of: NDArray[np.intp] = np.repeat(np.arange(len(counts)), counts)

    def mix(self, heard: Samples) -> Samples:
        """``heard`` has one row of samples per leg; so has the answer, what each is to hear."""
        if not self.rows:
            return heard
        wide = heard.astype(np.int32)
        totals = np.add.reduceat(wide, self._starts, axis=0)
        others: NDArray[np.int32] = totals[self._room_of] - wide
        return np.clip(others, -32_768, 32_767).astype(np.int16)
