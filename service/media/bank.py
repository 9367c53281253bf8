"""The bank: the jitter buffers of steady legs as arrays, so that one pass serves all of them.

A leg is steady while it sends one frame after another, in order and in time. Then its
``JitterBuffer`` only counts and passes frames on, and the bank does that for all such legs
together. What holds, and what every change must keep:

1. What the bank does for a leg is to the last bit what its ``JitterBuffer`` would have done. That
   object is the definition, and what the bank is tested against.
2. The bank does what is ordinary and nothing else. Before anything else happens to a leg (a gap, a
   cut, a frame of another length or out of order, any call of the object), its state goes back
   into the object, and the object acts.
3. A leg's state is in one place: in the bank while ``JitterBuffer.keeper`` is the bank, else in the
   object. Its row stays its own until it is forgotten; row 0 is nobody's and never in use.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from service.media.clock import PERIOD
from service.media.jitter import PACED_CAPACITY, SLACK, WINDOW, JitterBuffer
from service.media.steady import Steady
from service.wire import FRAME_SAMPLES

SLOTS = 8
"""Frames in a ring: those a paced leg may hold, the last one taken, and one to make it a power."""

Rows: TypeAlias = NDArray[np.intp]

Flags: TypeAlias = NDArray[np.bool_]

Frames: TypeAlias = NDArray[np.uint8]
"""A row of 160 codes for each frame."""

Times: TypeAlias = NDArray[np.float64]

Orders: TypeAlias = NDArray[np.int64]


class Bank:
    """Of one thread, like the exchange that it belongs to."""

    def __init__(self) -> None:
        self._free: list[int] = []
        self._kept = np.zeros(1, bool)
        self._ring = np.zeros((1, SLOTS, FRAME_SAMPLES), np.uint8)
        self._arrived = np.zeros((1, SLOTS))
        self._head = np.zeros(1, np.intp)
        self._count = np.zeros(1, np.intp)
        self._taken = np.zeros(1, np.intp)
        self._pushed = np.zeros(1, np.int64)
        self._transit = np.zeros(1)
        self._jitter = np.zeros(1)
        self._window = np.zeros(1, np.intp)
        self._left = np.zeros(1, np.intp)
        self._margin = np.zeros(1)
        self._ordered = np.zeros(1, bool)
        self._next = np.zeros(1, np.int64)

    def admit(self, buffer: JitterBuffer) -> bool:
        """Keep a buffer from now on; False where it is not steady."""
        steady = buffer.steady()
        if steady is None or len(steady.frames) > PACED_CAPACITY:
            return False
        row = buffer.row = buffer.row or self._new_row()
        count = len(steady.frames)
        for slot, (_, frame, arrived) in enumerate(steady.frames):
            self._ring[row, slot] = np.frombuffer(frame, np.uint8)
            self._arrived[row, slot] = arrived
        self._ring[row, -1] = np.frombuffer(steady.last, np.uint8)
        self._head[row], self._count[row], self._taken[row] = 0, count, 0
        self._pushed[row], self._transit[row] = steady.pushed, steady.transit
        self._jitter[row] = steady.jitter
        self._window[row], self._left[row] = steady.window, steady.left
        self._margin[row] = steady.margin
        self._ordered[row] = steady.next_order is not None
        self._next[row] = steady.next_order or 0
        self._kept[row] = True
        buffer.keeper = self
        return True

    def release(self, buffer: JitterBuffer) -> None:
        """Give a buffer its state back; it acts for itself from now on."""
        row = buffer.row
        self._kept[row] = False
        buffer.keeper = None
        ring, head = self._ring[row], int(self._head[row])
        next_order = int(self._next[row]) if self._ordered[row] else None
        count = int(self._count[row])
        frames = []
        for place in range(count):
            slot = (head + place) % SLOTS
            order = None if next_order is None else next_order - count + place
            frames.append((order, ring[slot].tobytes(), float(self._arrived[row, slot])))
        steady = Steady(
            frames=tuple(frames),
            last=ring[head - 1].tobytes(),
            pushed=int(self._pushed[row]),
            transit=float(self._transit[row]),
            jitter=float(self._jitter[row]),
            window=int(self._window[row]),
            left=int(self._left[row]),
            margin=float(self._margin[row]),
            next_order=next_order,
        )
        buffer.resume(steady, int(self._taken[row]))

    def forget(self, buffer: JitterBuffer) -> None:
        """A leg is gone: give its buffer back and its row to others."""
        if buffer.keeper is self:
            self.release(buffer)
        if buffer.row:
            self._free.append(buffer.row)
            buffer.row = 0

    def push(self, rows: Rows, frames: Frames, times: Times, orders: Orders | None) -> Flags:
        """Add one frame to each row, which all differ; which rows it was ordinary for.

        ``times`` are the frames' times of arrival.
        """
        ordinary = self._kept[rows] & (self._count[rows] < PACED_CAPACITY)
        if orders is None:
            ordinary &= ~self._ordered[rows]
        else:
            ordinary &= self._ordered[rows] & (self._next[rows] == orders)
        if not ordinary.all():
            rows, frames, times = rows[ordinary], frames[ordinary], times[ordinary]
        count, pushed = self._count[rows], self._pushed[rows]
        slots = (self._head[rows] + count) % SLOTS
        self._ring[rows, slots] = frames
        self._arrived[rows, slots] = times
        self._count[rows] = count + 1
        self._next[rows] += 1
        transit, jitter = times - pushed / FRAME_SAMPLES * PERIOD, self._jitter[rows]
        self._jitter[rows] = jitter + (np.abs(transit - self._transit[rows]) - jitter) / 16
        self._transit[rows] = transit
        self._pushed[rows] = pushed + FRAME_SAMPLES
        return ordinary

    def take(self, rows: Rows, at: float) -> tuple[Flags, Frames]:
        """Which rows' next frame was there and ordinary to take, and the frames of these."""
        count, head = self._count[rows], self._head[rows]
        margin = np.minimum(self._margin[rows], at - self._arrived[rows, head])
        left = self._left[rows] - 1
        ordinary = self._kept[rows] & (count > 0)
        ends = left == 0
        if ends.any():
            ordinary &= ~(ends & (count > 1) & ((margin - SLACK) / PERIOD >= 1))
        if not ordinary.all():
            rows, count, head = rows[ordinary], count[ordinary], head[ordinary]
            margin, left, ends = margin[ordinary], left[ordinary], ends[ordinary]
        self._head[rows] = (head + 1) % SLOTS
        self._count[rows] = count - 1
        self._taken[rows] += 1
        self._margin[rows], self._left[rows] = margin, left
        if ends.any():
            ending = rows[ends]
            window = np.maximum(self._window[ending] // 2, WINDOW)
            self._window[ending] = self._left[ending] = window
            self._margin[ending] = np.inf
        return ordinary, self._ring[rows, head]

    def gauge(self, rows: Rows) -> tuple[Flags, Times, Times]:
        """Which rows are kept, and of those the jitter in seconds and the frames that wait."""
        return self._kept[rows], self._jitter[rows], self._count[rows].astype(np.float64)

    @property
    def taken(self) -> int:
        """Frames taken of the buffers that are kept now, since each was admitted."""
        return int(self._taken[self._kept].sum())

    def _new_row(self) -> int:
        if not self._free:
            self._grow()
        return self._free.pop()

    def _grow(self) -> None:
        size = len(self._kept)
        self._free.extend(range(2 * size + 62, size - 1, -1))
        # Every array has a row for each leg: they grow together, and none can be forgotten.
        for name, column in list(vars(self).items()):
            if isinstance(column, np.ndarray):
                more = np.zeros((size + 63, *column.shape[1:]), column.dtype)
                setattr(self, name, np.concatenate((column, more)))
