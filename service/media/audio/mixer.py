"""Mix minus self: every leg hears the sum of the others in its room.

All rooms of one size are mixed in one vectorised pass. Sums are ``int32`` and saturate once, at the
end: dividing by the number of voices would make all of them quieter when a participant joins.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from service.media.audio.g711 import Samples

Rows: TypeAlias = NDArray[np.intp]


class MixLayout:
    """Rows of each room in a tick's matrix. Adding or removing a room moves no other room.

    ``sizes`` are the sizes of initial rooms, in rows from 0 on.
    """

    def __init__(self, sizes: Iterable[int] = ()) -> None:
        self._groups: dict[int, Rows] = {}  # by size: the rows of a room in each line
        self._places: dict[int, int] = {}  # by a room's first row: its line in the group
        self._sources: Rows | None = None
        self._alone = self._large_rooms = np.zeros(0, np.intp)
        self._is_crowd_known = False
        self._small = self._first = 0
        row = 0
        for size in sizes:
            self.assign(range(row, row + size))
            row += size

    def assign(self, rows: Sequence[int]) -> None:
        """Add a room with legs in these rows."""
        if not rows:
            return
        line = np.array([rows], np.intp)
        group = self._groups.get(len(rows))
        self._places[rows[0]] = 0 if group is None else len(group)
        self._groups[len(rows)] = line if group is None else np.concatenate((group, line))
        self._sources, self._is_crowd_known = None, False

    def remove(self, rows: Sequence[int]) -> None:
        """Remove the room that was added with these rows."""
        if not rows:
            return
        group = self._groups[len(rows)]
        place = self._places.pop(rows[0])
        if place < len(group) - 1:
            group[place] = group[-1]
            self._places[int(group[-1, 0])] = place
        if len(group) > 1:
            self._groups[len(rows)] = group[:-1]
        else:
            del self._groups[len(rows)]
        self._sources, self._is_crowd_known = None, False

    def large_rooms(self, small: int) -> tuple[Rows, int]:
        """Return the rows in rooms of three or more, ordered by size of room.

        The second value is how many of them are in rooms of at most ``small`` legs.
        """
        if not self._is_crowd_known or self._small != small:
            self._is_crowd_known = True
            rooms = sorted(size for size in self._groups if size > 2)
            rows = [self._groups[size].ravel() for size in rooms]
            self._large_rooms = np.concatenate(rows) if rows else np.zeros(0, np.intp)
            self._first = sum(
                len(block) for size, block in zip(rooms, rows, strict=True) if size <= small
            )
            self._small = small
        return self._large_rooms, self._first

    def mix(
        self, heard: Samples, large_rooms: Samples | None = None
    ) -> tuple[Samples, Sequence[int]]:
        """Mix ``heard``, which has one row of samples per leg, into a matrix of the same shape.

        The second value are the rows whose sum was clipped. ``large_rooms`` replaces ``heard``
        in rooms of three or more, in the order of the rows of ``large_rooms()``.
        """
        sources = self._sources
        if sources is None or len(sources) != len(heard):
            sources = self._sources = self._arrange(len(heard))
        large = sorted(size for size in self._groups if size > 2)
        if sum(self._groups[size].size for size in large) == len(heard):
            mixed = np.empty_like(heard)
        else:
            # In a room of two each leg hears the other.
            mixed = heard.take(sources, axis=0)
            mixed[self._alone] = 0
        clipped: list[int] = []
        start = 0
        for size in large:
            rows = self._groups[size]
            if large_rooms is None:
                rooms = heard.take(rows, axis=0)
            else:
                rooms = large_rooms[start : start + rows.size].reshape(*rows.shape, -1)
                start += rows.size
            clipped += _mix(mixed, rows, rooms)
        return mixed, clipped

    def _arrange(self, count: int) -> Rows:
        """Return for each row the other row of a room of two, or else the row itself."""
        alone = self._groups.get(1)
        self._alone = np.zeros(0, np.intp) if alone is None else alone.ravel()
        sources = np.arange(count)
        pairs = self._groups.get(2)
        if pairs is not None:
            sources[pairs] = pairs[:, ::-1]
        return sources


def _mix(mixed: Samples, rows: Rows, rooms: Samples) -> Sequence[int]:
    """Mix rooms of one size into their rows. Returns the rows that were clipped."""
    sums: NDArray[np.int32] = rooms.sum(axis=1, dtype=np.int32, keepdims=True)
    # 16 bits take a third of the time, and are exact unless the sum is clipped.
    mixed[rows] = sums.astype(np.int16) - rooms
    above, below = 32_767 + int(np.min(rooms)), -32_768 + int(np.max(rooms))
    perhaps = np.flatnonzero(((sums > above) | (sums < below)).any(axis=(1, 2)))
    if not len(perhaps):
        return []
    rows, others = rows[perhaps], sums[perhaps] - rooms[perhaps]
    within = np.clip(others, -32_768, 32_767)
    mixed[rows] = within
    loud: list[int] = rows[(within != others).any(axis=2)].tolist()
    return loud
