"""Arrays with a row for each of many buffers, which grow together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from service.media.jitter.buffer import JitterBuffer


Rows: TypeAlias = NDArray[np.intp]

Flags: TypeAlias = NDArray[np.bool_]

Frames: TypeAlias = NDArray[np.uint8]
"""A row of 160 codes for each frame."""

Times: TypeAlias = NDArray[np.float64]

Orders: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Taken:
    """``frames`` are those of the rows that were ``ordinary`` to take from.

    Before those that ``follow`` a cut frames were dropped; ``cut`` has the first of each.
    """

    ordinary: Flags
    frames: Frames
    follow: Flags
    cut: Frames


class Columns:
    """Every attribute of a subclass that is an array has the same rows. Row 0 is nobody's."""

    def __init__(self) -> None:
        self._size = 1
        self._free: list[int] = []
        self._owners: dict[int, JitterBuffer] = {}

    def _is_of(self, buffer: JitterBuffer) -> bool:
        """Whether the row that a buffer names was given to it here."""
        return self._owners.get(buffer.row) is buffer

    def _new_row(self, buffer: JitterBuffer) -> int:
        if not self._free:
            self._grow()
        row = self._free.pop()
        self._owners[row] = buffer
        return row

    def _give_back(self, row: int) -> None:
        del self._owners[row]
        self._free.append(row)

    def _grow(self) -> None:
        more = self._size + 63
        self._free.extend(range(self._size + more - 1, self._size - 1, -1))
        self._size += more
        # None can be forgotten.
        for name, column in list(vars(self).items()):
            if isinstance(column, np.ndarray):
                rows = np.zeros((more, *column.shape[1:]), column.dtype)
                setattr(self, name, np.concatenate((column, rows)))
