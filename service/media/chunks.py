"""Audio of one peer in the order in which it is to be played, whatever its chunking.

A byte queue that remembers when each byte arrived and, where the peer counts its chunks, puts
them in order. Pure: times are arguments, in monotonic seconds.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Sequence
from typing import TypeAlias

MAX_JUMP = 500
"""Chunks a peer may be ahead of or behind its count: ten seconds of frames."""


Chunk: TypeAlias = tuple[int | None, bytes, float]
"""Order, payload and time of arrival: a plain tuple, which is made twice as fast as a named one."""


class ChunkQueue:
    """``size`` bytes wait; ``passed`` bytes have been taken since the start."""

    __slots__ = (
        "_chunks",
        "_counts_by_one",
        "_expected",
        "_head",
        "counted",
        "late",
        "lost",
        "passed",
        "size",
    )

    def __init__(self) -> None:
        self.size = 0
        self.passed = 0
        self.counted = False
        """Whether the peer counts its chunks."""
        self.late = 0
        """Chunks refused because their turn was over, or because they came twice."""
        self.lost = 0
        """Chunks that had not come when their turn was over."""
        self._chunks: deque[Chunk] = deque()
        self._head = 0  # bytes of the first chunk that are gone already
        self._expected: int | None = None
        self._counts_by_one = False

    def push(self, payload: bytes, at: float, order: int | None) -> bool:
        """Add a chunk; False where it came too late."""
        chunk = (order, payload, at)
        if order is None:
            self._chunks.append(chunk)
            self.size += len(payload)
            return True
        self.counted = True
        if self._renumbered(order):
            self._expected = order
        last = self._chunks[-1][0] if self._chunks else None
        if self._expected is not None and order < self._expected:
            self.late += 1
            return False
        elif last is None or order > last:
            self._chunks.append(chunk)
        elif not self._insert(chunk, order):
            self.late += 1
            return False
        self.size += len(payload)
        return True

    def take(self, count: int) -> bytes:
        """The next ``count`` bytes, of which there must be that many."""
        self.size -= count
        self.passed += count
        payload = self._chunks[0][1]
        if not self._head and len(payload) == count:
            self._retire()
            return payload
        parts = []
        while count:
            payload = self._chunks[0][1]
            part = payload[self._head : self._head + count]
            parts.append(part)
            count -= len(part)
            self._head += len(part)
            if self._head == len(payload):
                self._retire()
        return b"".join(parts)

    def peek(self, count: int) -> bytes:
        """The next ``count`` bytes, or fewer where the first chunk ends before."""
        return self._chunks[0][1][self._head : self._head + count]

    def fill(self, silence: bytes) -> None:
        """Lengthen the last chunk, as if it had come that long."""
        order, payload, arrived = self._chunks[-1]
        self._chunks[-1] = (order, payload + silence, arrived)
        self.size += len(silence)

    def arrived(self, count: int) -> float:
        """When the last of the next ``count`` bytes arrived."""
        _, payload, arrived = self._chunks[0]
        needed = count + self._head
        if len(payload) >= needed:
            return arrived
        for _, payload, arrived in self._chunks:
            needed -= len(payload)
            if needed <= 0:
                return arrived
        raise IndexError("Fewer bytes are waiting.")

    def last_arrived(self) -> float:
        return self._chunks[-1][2]

    def overtaken(self) -> bool:
        """Whether the next chunk got here before one that should precede it.

        Only said of a peer that has been seen to count its chunks one by one.
        """
        order = self._chunks[0][0]
        return (
            self._counts_by_one
            and not self._head
            and order is not None
            and self._expected is not None
            and order > self._expected
        )

    def clear(self) -> None:
        self.passed += self.size
        self.size = self._head = 0
        self._chunks.clear()

    def whole(self, length: int) -> tuple[Chunk, ...] | None:
        """What waits, where that is whole chunks of this length, one after the other in order."""
        if self._head or any(len(payload) != length for _, payload, _ in self._chunks):
            return None
        if not self.counted:
            return tuple(self._chunks)
        if not self._counts_by_one or self._expected is None:
            return None
        orders = [order for order, _, _ in self._chunks]
        in_order = list(range(self._expected, self._expected + len(orders)))
        return tuple(self._chunks) if orders == in_order else None

    def next_order(self) -> int | None:
        """What the peer's next chunk should be counted as, where what waits is ``whole``."""
        return None if self._expected is None else self._expected + len(self._chunks)

    def resume(self, chunks: Sequence[Chunk], passed: int, next_order: int | None) -> None:
        """Go on with ``chunks``, which are ``whole``, after ``passed`` more bytes were taken."""
        self._chunks = deque(chunks)
        self.size = sum(len(payload) for _, payload, _ in chunks)
        self.passed += passed
        self._expected = None if next_order is None else next_order - len(chunks)

    def _renumbered(self, order: int) -> bool:
        """Whether the peer has begun to count anew, rather than lost or delayed that many."""
        return (
            self._expected is not None
            and not self._chunks
            and abs(order - self._expected) > MAX_JUMP
        )

    def _insert(self, chunk: Chunk, order: int) -> bool:
        """Put a chunk that was overtaken in its place; False where that has passed or is taken."""
        if any(other[0] == order for other in self._chunks):
            return False
        if self._head and order < (self._chunks[0][0] or 0):
            return False
        ordered = list(self._chunks)
        insort(ordered, chunk, key=lambda other: other[0] or 0)
        self._chunks = deque(ordered)
        return True

    def _retire(self) -> None:
        self._head = 0
        order = self._chunks.popleft()[0]
        if order is None:
            return
        if self._expected is not None:
            missing = order - self._expected
            self._counts_by_one = missing == 0
            self.lost += missing if 0 < missing <= MAX_JUMP else 0
        self._expected = order + 1
