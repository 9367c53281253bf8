"""Jitter buffers of steady legs as arrays, so that one pass serves all of them.

A leg is steady while it sends one frame after another, in order and in time. Its ``JitterBuffer``
then only counts frames, passes them on, and drops one now and then. The batch does that for all
such legs at once. It drops frames too, because after a stall of the engine every leg has a backlog,
and cutting them one by one would take so long that the next stall followed. Invariants:

1. The batch's result for a leg is bit for bit that of its ``JitterBuffer``, which is the definition
   that tests compare the batch with.
2. The batch handles the ordinary case only. Before anything else (a gap, a frame of another length
   or out of order, a long overrun, any call of the buffer object) the state returns to the object.
3. A leg's state is in one place: in the batch while ``JitterBuffer.owner`` is the batch, else in
   the object. A leg keeps its row until it is forgotten. Row 0 is never in use.
"""

from __future__ import annotations

import numpy as np

from service.domain.wire import FRAME_SAMPLES, PERIOD
from service.media.jitter.buffer import LONGEST_WINDOW, SLACK, WINDOW, JitterBuffer
from service.media.jitter.columns import Columns, Flags, Frames, Orders, Rows, Taken, Times
from service.media.jitter.overrun import FULL_PAUSE, FULL_SECONDS
from service.media.jitter.pace import LEAK, LONGEST_CAPACITY, PACED_CAPACITY, RENEWAL, SETTLE, SPARE
from service.media.jitter.state import BufferState

SLOTS = LONGEST_CAPACITY + 2
"""Frames in a ring: the capacity of a paced leg, one more before a drop, and the last one taken."""

LATE = (PACED_CAPACITY - SPARE) * PERIOD
"""Seconds up to which a late frame changes no capacity."""


class BatchJitterBuffer(Columns):
    """Used by the engine's thread only."""

    def __init__(self) -> None:
        super().__init__()
        self._owned = np.zeros(1, bool)
        self._ring = np.zeros((1, SLOTS, FRAME_SAMPLES), np.uint8)
        self._arrived = np.zeros((1, SLOTS))
        self._head = np.zeros(1, np.intp)
        self._count = np.zeros(1, np.intp)
        self._taken = np.zeros(1, np.intp)
        self._dropped = np.zeros(1, np.intp)
        self._has_cut = np.zeros(1, bool)
        self._cut = np.zeros((1, FRAME_SAMPLES), np.uint8)
        self._full_since = np.zeros(1)
        self._full_last = np.zeros(1)
        self._pushed = np.zeros(1, np.int64)
        self._transit = np.zeros(1)
        self._jitter = np.zeros(1)
        self._window = np.zeros(1, np.intp)
        self._left = np.zeros(1, np.intp)
        self._margin = np.zeros(1)
        self._base = np.zeros(1)
        self._capacity = np.full(1, PACED_CAPACITY)
        self._ceiling = np.zeros(1, np.intp)
        self._settles = np.zeros(1)
        self._settled = float("-inf")  # latest time in _settles
        self._ordered = np.zeros(1, bool)
        self._next = np.zeros(1, np.int64)

    def admit(self, buffer: JitterBuffer) -> bool:
        """Take over a buffer's state. Returns false if the buffer is not steady."""
        steady = buffer.steady_state()
        if steady is None or len(steady.frames) > steady.capacity:
            return False
        if not self._is_of(buffer):
            buffer.row = self._new_row(buffer)
        row = buffer.row
        count = len(steady.frames)
        for slot, (_, frame, arrived) in enumerate(steady.frames):
            self._ring[row, slot] = np.frombuffer(frame, np.uint8)
            self._arrived[row, slot] = arrived
        self._ring[row, -1] = np.frombuffer(steady.last, np.uint8)
        self._head[row], self._count[row] = 0, count
        self._taken[row] = self._dropped[row] = 0
        self._has_cut[row] = steady.cut is not None
        if steady.cut is not None:
            self._cut[row] = np.frombuffer(steady.cut, np.uint8)
        self._full_since[row], self._full_last[row] = steady.full
        self._pushed[row], self._transit[row] = steady.pushed, steady.transit
        self._jitter[row] = steady.jitter
        self._window[row], self._left[row] = steady.window, steady.left
        self._margin[row] = steady.margin
        self._base[row], self._capacity[row] = steady.base, steady.capacity
        self._ceiling[row], self._settles[row] = steady.settling
        self._settled = max(self._settled, steady.settling[1])
        self._ordered[row] = steady.next_order is not None
        self._next[row] = steady.next_order or 0
        self._owned[row] = True
        buffer.owner = self
        return True

    def release(self, buffer: JitterBuffer) -> None:
        """Return a buffer's state to it."""
        row = buffer.row
        self._owned[row] = False
        buffer.owner = None
        ring, head = self._ring[row], int(self._head[row])
        next_order = int(self._next[row]) if self._ordered[row] else None
        count = int(self._count[row])
        frames = []
        for place in range(count):
            slot = (head + place) % SLOTS
            order = None if next_order is None else next_order - count + place
            frames.append((order, ring[slot].tobytes(), float(self._arrived[row, slot])))
        steady = BufferState(
            frames=tuple(frames),
            last=ring[head - 1].tobytes(),
            cut=self._cut[row].tobytes() if self._has_cut[row] else None,
            pushed=int(self._pushed[row]),
            transit=float(self._transit[row]),
            jitter=float(self._jitter[row]),
            window=int(self._window[row]),
            left=int(self._left[row]),
            margin=float(self._margin[row]),
            next_order=next_order,
            full=(float(self._full_since[row]), float(self._full_last[row])),
            base=float(self._base[row]),
            capacity=int(self._capacity[row]),
            settling=(int(self._ceiling[row]), float(self._settles[row])),
        )
        buffer.resume(steady, int(self._taken[row]), int(self._dropped[row]))

    def forget(self, buffer: JitterBuffer) -> None:
        """Release the buffer of a leg that has left, and free its row."""
        row, is_of_this = buffer.row, self._is_of(buffer)
        try:
            if buffer.owner is self:
                self.release(buffer)
        finally:
            buffer.row, buffer.owner = 0, None
        # The row may be one of another batch.
        if is_of_this:
            self._give_back(row)

    def settle(self, at: float) -> None:
        """Apply ``JitterBuffer.settle`` to all owned buffers."""
        ceiling = np.maximum(self._count + 1, 2)
        np.minimum(self._ceiling, ceiling, out=ceiling, where=at < self._settles)
        self._ceiling[self._owned] = ceiling[self._owned]
        self._settles[self._owned] = self._settled = at + SETTLE

    def push(
        self,
        rows: Rows,
        frames: Frames,
        times: Times,
        orders: Orders | None,
        earliest: Times | None = None,
    ) -> Flags:
        """Add one frame to each of these distinct rows. Returns for which rows that was ordinary.

        ``times`` are the times of arrival. ``earliest`` are their lower bounds if the frames were
        read late.
        """
        ordinary = self._owned[rows]
        if orders is None:
            ordinary &= ~self._ordered[rows]
        else:
            ordinary &= self._ordered[rows] & (self._next[rows] == orders)
        pushed, base = self._pushed[rows], self._base[rows]
        span = pushed / FRAME_SAMPLES * PERIOD
        if earliest is not None:
            times = np.maximum(earliest, np.minimum(times, base + span))
        count, transit = self._count[rows], times - span
        late = transit - base
        capacity = self._capacity[rows]
        held_up = late > LATE
        any_held_up = np.count_nonzero(held_up)
        if any_held_up:
            held_up, capacity = _follow(late, capacity)
        full = count == capacity
        over = full
        if np.count_nonzero(times < self._settled):
            settling = times < self._settles[rows]
            over = full | (settling & (count >= self._ceiling[rows]))
            full = full & ~(settling & (self._ceiling[rows] < capacity))
        if np.count_nonzero(full):
            ordinary &= ~(full & (times >= self._full_from(rows, times) + FULL_SECONDS))
        if np.count_nonzero(ordinary) < len(rows):
            rows, frames, times = rows[ordinary], frames[ordinary], times[ordinary]
            count, full, over = count[ordinary], full[ordinary], over[ordinary]
            pushed, base, transit = pushed[ordinary], base[ordinary], transit[ordinary]
            late, capacity, held_up = late[ordinary], capacity[ordinary], held_up[ordinary]
        base = np.minimum(transit, base + LEAK)
        if any_held_up:
            base = np.where(late > RENEWAL, transit, base)
            self._capacity[rows] = capacity
            longer = rows[held_up]
            self._window[longer] = self._left[longer] = LONGEST_WINDOW
            self._margin[longer] = np.inf
        self._base[rows] = base
        slots = (self._head[rows] + count) % SLOTS
        self._ring[rows, slots] = frames
        self._arrived[rows, slots] = times
        self._count[rows] = count + 1
        self._next[rows] += 1
        jitter = self._jitter[rows]
        self._jitter[rows] = jitter + (np.abs(transit - self._transit[rows]) - jitter) / 16
        self._transit[rows] = transit
        self._pushed[rows] = pushed + FRAME_SAMPLES
        if np.count_nonzero(full):
            fullest, since = rows[full], times[full]
            self._full_since[fullest] = self._full_from(fullest, since)
            self._full_last[fullest] = since
        if np.count_nonzero(over):
            self._drop(rows[over])
        return ordinary

    def take(self, rows: Rows, at: float) -> Taken:
        """Take the next frame of each row that has one."""
        count = self._count[rows]
        ordinary = self._owned[rows] & (count > 0)
        if np.count_nonzero(ordinary) < len(rows):
            rows, count = rows[ordinary], count[ordinary]
        head = self._head[rows]
        margin = np.minimum(self._margin[rows], at - self._arrived[rows, head])
        left = self._left[rows] - 1
        ends = left == 0
        follow = self._has_cut[rows]
        after = rows[follow]
        taken = Taken(ordinary, self._ring[rows, head], follow, self._cut[after])
        self._has_cut[after] = False
        self._head[rows] = (head + 1) % SLOTS
        self._count[rows] = count - 1
        self._taken[rows] += 1
        self._margin[rows], self._left[rows] = margin, left
        if np.count_nonzero(ends):
            ending = rows[ends]
            window = np.maximum(self._window[ending] // 2, WINDOW)
            self._window[ending] = self._left[ending] = window
            self._margin[ending] = np.inf
            spare = (count[ends] > 1) & ((margin[ends] - SLACK) / PERIOD >= 1)
            self._drop(ending[spare])
            capacity = self._capacity[ending]
            calmer = (capacity > PACED_CAPACITY) & (self._count[ending] < capacity)
            self._capacity[ending[calmer]] -= 1
        return taken

    def live(self, rows: Rows) -> tuple[Flags, Times, Times]:
        """Return which rows are owned, and each row's jitter in seconds and waiting frames."""
        return self._owned[rows], self._jitter[rows], self._count[rows].astype(np.float64)

    @property
    def taken(self) -> int:
        """Frames taken from the owned buffers since each was admitted."""
        return int(self._taken[self._owned].sum())

    @property
    def dropped(self) -> int:
        """Frames dropped from the owned buffers since each was admitted."""
        return int(self._dropped[self._owned].sum())

    def _full_from(self, rows: Rows, times: Times) -> Times:
        """Return since when rows that are full at these times have been full."""
        anew = times > self._full_last[rows] + FULL_PAUSE
        return np.where(anew, times, self._full_since[rows])

    def _drop(self, rows: Rows) -> None:
        """Drop the next frame of each row, and keep the first of a run."""
        head = self._head[rows]
        first = ~self._has_cut[rows]
        self._cut[rows[first]] = self._ring[rows[first], head[first]]
        self._has_cut[rows] = True
        # The slot before the head must hold the last frame taken.
        self._ring[rows, head] = self._ring[rows, head - 1]
        self._head[rows] = (head + 1) % SLOTS
        self._count[rows] -= 1
        self._dropped[rows] += 1


def _follow(late: Times, capacity: Rows) -> tuple[Flags, Rows]:
    """``Pace.note`` for many rows: which capacities grow, and the capacities afterwards."""
    wanted = np.minimum(np.ceil(late / PERIOD) + SPARE, LONGEST_CAPACITY).astype(np.intp)
    held_up = (wanted > PACED_CAPACITY) & (wanted >= capacity - 1) & (late <= RENEWAL)
    return held_up, np.where(held_up, np.maximum(capacity, wanted), capacity)
