"""Mix minus self: every leg hears the sum of the others in its room.

One vectorised pass over all rooms of a size. Sums are ``int32`` and saturate once, at the end:
dividing by the number of voices would make everybody quieter whenever somebody joins.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import numpy as np

from service.media.g711 import Samples


class Seating:
    """Which rows of a tick's matrix are one room: ``sizes`` rows each, one room after another.

    Rooms of one size that stand next to each other are mixed together.
    """

    __slots__ = ("_blocks",)

    def __init__(self, sizes: Sequence[int]) -> None:
        self._blocks: list[tuple[int, int, int]] = []
        start = 0
        for size, rooms in groupby(sizes):
            stop = start + size * len(list(rooms))
            if size:
                self._blocks.append((start, stop, size))
            start = stop

    def mix(self, heard: Samples) -> tuple[Samples, Sequence[int]]:
        """``heard`` has one row of samples per leg; so has the answer, what each is to hear.

        With it come the rows in which the sum was too loud for 16 bits.
        """
        mixed = np.zeros_like(heard)
        clipped: list[int] = []
        for start, stop, size in self._blocks:
            rooms = heard[start:stop].reshape(-1, size, heard.shape[1])
            to_hear = mixed[start:stop].reshape(rooms.shape)
            if size == 2:
                to_hear[:, 0], to_hear[:, 1] = rooms[:, 1], rooms[:, 0]
            elif size > 2:
                others = rooms.sum(axis=1, dtype=np.int32, keepdims=True) - rooms
                to_hear[:] = within = np.clip(others, -32_768, 32_767)
                if not np.array_equal(within, others):
                    rows = (within != others).any(axis=2).ravel()
                    clipped += (start + np.flatnonzero(rows)).tolist()
        return mixed, clipped
