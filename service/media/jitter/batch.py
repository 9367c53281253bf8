"""The bank: the jitter buffers of steady legs as arrays, so that one pass serves all of them.

A leg is steady while it sends one frame after another, in order and in time. Then its
``JitterBuffer`` only counts, passes frames on and drops one now and then, and the bank does that
for all such legs together. Dropping belongs to it because after a stall of the engine it is every
leg that has too much: one by one they would take so long that the next stall followed, for ever.
What holds, and what every change must keep:

1. What the bank does for a leg is to the last bit what its ``JitterBuffer`` would have done. That
   object is the definition, and what the bank is tested against.
2. The bank does what is ordinary and nothing else. Before anything else happens to a leg (a gap, a
   frame of another length or out of order, too much for too long, any call of the object), its
   state goes back into the object, and the object acts.
3. A leg's state is in one place: in the bank while ``JitterBuffer.keeper`` is the bank, else in the
   object. Its row stays its own until it is forgotten; row 0 is nobody's and never in use.
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
"""Frames in a ring: those a paced leg may hold, one more before one is dropped, and in front of
them the last one taken."""

LATE = (PACED_CAPACITY - SPARE) * PERIOD
"""Seconds up to which a late frame changes no capacity."""


class BatchJitterBuffer(Columns):
    """Of one thread, like the exchange that it belongs to."""

    def __init__(self) -> None:
        super().__init__()
        self._kept = np.zeros(1, bool)
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
        self._settled = float("-inf")  # when the last row will have
        self._ordered = np.zeros(1, bool)
        self._next = np.zeros(1, np.int64)

    def admit(self, buffer: JitterBuffer) -> bool:
        """Keep a buffer from now on; False where it is not steady."""
        steady = buffer.steady()
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
        """A leg is gone: give its buffer back and its row to others."""
        row, is_of_this = buffer.row, self._is_of(buffer)
        try:
            if buffer.keeper is self:
                self.release(buffer)
        finally:
            buffer.row, buffer.keeper = 0, None
        # A row of another bank says nothing here.
        if is_of_this:
            self._give_back(row)

    def settle(self, at: float) -> None:
        """``JitterBuffer.settle`` for all buffers that are kept."""
        ceiling = np.maximum(self._count + 1, 2)
        np.minimum(self._ceiling, ceiling, out=ceiling, where=at < self._settles)
        self._ceiling[self._kept] = ceiling[self._kept]
        self._settles[self._kept] = self._settled = at + SETTLE

    def push(
        self,
        rows: Rows,
        frames: Frames,
        times: Times,
        orders: Orders | None,
        earliest: Times | None = None,
    ) -> Flags:
        """Add one frame to each row, which all differ; which rows it was ordinary for.

        ``times`` are the frames' times of arrival, and ``earliest`` those where they are not known.
        """
        ordinary = self._kept[rows]
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
        """Take the next frame of each row where there is one."""
        count = self._count[rows]
        ordinary = self._kept[rows] & (count > 0)
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

    def gauge(self, rows: Rows) -> tuple[Flags, Times, Times]:
        """Which rows are kept, and of those the jitter in seconds and the frames that wait."""
        return self._kept[rows], self._jitter[rows], self._count[rows].astype(np.float64)

    @property
    def taken(self) -> int:
        """Frames taken of the buffers that are kept now, since each was admitted."""
        return int(self._taken[self._kept].sum())

    @property
    def dropped(self) -> int:
        """The same for frames dropped."""
        return int(self._dropped[self._kept].sum())

    def _full_from(self, rows: Rows, times: Times) -> Times:
        """Since when rows that are full at these times have been so."""
        anew = times > self._full_last[rows] + FULL_PAUSE
        return np.where(anew, times, self._full_since[rows])

    def _drop(self, rows: Rows) -> None:
        """Throw the next frame of each row away, and keep the first of a run."""
        head = self._head[rows]
        first = ~self._has_cut[rows]
        self._cut[rows[first]] = self._ring[rows[first], head[first]]
        self._has_cut[rows] = True
        # The last frame taken stays in front of what waits.
        self._ring[rows, head] = self._ring[rows, head - 1]
        self._head[rows] = (head + 1) % SLOTS
        self._count[rows] -= 1
        self._dropped[rows] += 1


def _follow(late: Times, capacity: Rows) -> tuple[Flags, Rows]:
    """``Pace.note`` for many: of which the capacity follows, and the capacities then."""
    wanted = np.minimum(np.ceil(late / PERIOD) + SPARE, LONGEST_CAPACITY).astype(np.intp)
    held_up = (wanted > PACED_CAPACITY) & (wanted >= capacity - 1) & (late <= RENEWAL)
    return held_up, np.where(held_up, np.maximum(capacity, wanted), capacity)
