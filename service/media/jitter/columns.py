"""Arrays with one row for each buffer, which grow together."""

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
    """Frames taken from many rows.

    ``ordinary`` says which of the rows ``frames`` come from. ``follow`` says which of the frames
    come after a drop, and ``cut`` has the first dropped frame of each.
    """

    ordinary: Flags
    frames: Frames
    follow: Flags
    cut: Frames


class Columns:
    """Base class: all arrays of a subclass have the same rows. Row 0 is not used."""

    def __init__(self) -> None:
        self._size = 1
        self._free: list[int] = []
        self._owners: dict[int, JitterBuffer] = {}

    def _is_of(self, buffer: JitterBuffer) -> bool:
        """Whether the buffer's row is one of this object."""
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
        # Found by type, so that no new column is forgotten.
        for name, column in list(vars(self).items()):
            if isinstance(column, np.ndarray):
                rows = np.zeros((more, *column.shape[1:]), column.dtype)
                setattr(self, name, np.concatenate((column, rows)))
