"""Audio of one peer in the order in which it is to be played, whatever its chunking.

A byte queue that remembers when each byte arrived and, where the peer counts its chunks, puts
them in order. Pure: times are arguments, in monotonic seconds.

A peer's count is useful as long as it goes up. Some peers restart it in mid-stream, wrap around, or
repeat one number for ever, and must be heard all the same. So a count that is far off, or that
refuses every chunk, is resynchronised with the chunk that has come. A count that needs this again
soon after is ignored until it has gone up by ones for a while.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TypeAlias

from service.media.jitter.refusals import Refusals

MAX_JUMP = 500
"""Chunks a peer may be ahead of or behind its count: ten seconds of frames."""

PROOF = 50
"""Chunks that a count must get right before it is trusted again: a second of frames."""


Chunk: TypeAlias = tuple[int | None, bytes, float]
"""Order, payload and time of arrival: a plain tuple, which is made twice as fast as a named one."""


class ChunkQueue:
    """``size`` bytes wait; ``passed`` bytes have been taken since the start."""

    __slots__ = (
        "_chunks",
        "_counts_by_one",
        "_expected",
        "_head",
        "_is_trusted",
        "_last",
        "_proven",
        "_refusals",
        "_shift",
        "counted",
        "late",
        "lost",
        "passed",
        "renumbered",
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
        self.renumbered = 0
        """Times at which the peer's count was begun anew."""
        self._chunks: deque[Chunk] = deque()  # with orders that go on where the peer's do not
        self._head = 0  # bytes of the first chunk that are gone already
        self._expected: int | None = None
        self._counts_by_one = False
        self._shift = 0  # from the peer's count to the orders here
        self._last: int | None = None  # the peer's number of the last chunk
        self._refusals = Refusals()
        self._proven = PROOF  # chunks that the count got right since it was begun anew
        self._is_trusted = True

    def push(self, payload: bytes, at: float, order: int | None) -> bool:
        """Add a chunk; False where it came too late."""
        number = None if order is None else self._numbered(order)
        if number is None or number >= (self._following() or 0):
            self._append(number, payload, at)
        elif self._insert((number, payload, at), number):
            self._refusals.forget()
        elif order is not None and self._refusals.add(order, payload, at):
            self._append(self._renumbered(order), payload, at)
        else:
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
        if not (self._counts_by_one and self._is_trusted) or self._expected is None:
            return None
        orders = [order for order, _, _ in self._chunks if order is not None]
        if orders != list(range(self._expected, self._expected + len(self._chunks))):
            return None
        waiting = zip(orders, self._chunks, strict=True)
        return tuple((order - self._shift, payload, at) for order, (_, payload, at) in waiting)

    def next_order(self) -> int | None:
        """What the peer's next chunk should be counted as, where what waits is ``whole``."""
        following = self._following()
        return None if following is None else following - self._shift

    def resume(self, chunks: Sequence[Chunk], passed: int, next_order: int | None) -> None:
        """Go on with ``chunks``, which are ``whole``, after ``passed`` more bytes were taken."""
        before = self.next_order()
        if next_order is not None and before is not None:
            self._proven = min(self._proven + next_order - before, PROOF)
            if next_order > before:
                self._refusals.forget()
        self._chunks = deque(chunks)
        self.size = sum(len(payload) for _, payload, _ in chunks)
        self.passed += passed
        self._expected = None if next_order is None else next_order - len(chunks)
        self._shift = 0

    def _following(self) -> int | None:
        """The number of a chunk that follows all that has come; ``None`` where none was counted."""
        last = self._chunks[-1][0] if self._chunks else None
        return self._expected if last is None else last + 1

    def _numbered(self, order: int) -> int | None:
        """The place of a chunk in the count here, which goes on where the peer's does not.

        ``None`` where it belongs after all that has come, because the peer's count is of no use.
        """
        self.counted = True
        following = self._following()
        if not self._is_trusted:
            self._proven = self._proven + 1 if order - 1 == self._last else 0
            self._last = order
            if self._proven < PROOF:
                return None
            self._is_trusted = True
            self._shift = 0 if following is None else following - order
        number = order + self._shift
        if following is None or self._expected is None:
            return number
        is_off = number - following > MAX_JUMP or self._expected - number > MAX_JUMP
        return self._renumbered(order) if is_off else number

    def _renumbered(self, order: int) -> int | None:
        """Resynchronise the count with this chunk, or ignore the count where that was done just
        before.
        """
        following = self._following() or 0
        self.renumbered += 1
        self._shift = following - order
        self._is_trusted = self._proven >= PROOF
        self._last, self._proven = order, 0
        return following if self._is_trusted else None

    def _append(self, number: int | None, payload: bytes, at: float) -> None:
        self._chunks.append((number, payload, at))
        if number is not None:
            self._refusals.forget()
            self._proven = min(self._proven + 1, PROOF)

    def _insert(self, chunk: Chunk, number: int) -> bool:
        """Put a chunk that was overtaken in its place; False where that has passed or is taken."""
        place = len(self._chunks)
        while place and (other := self._chunks[place - 1][0]) is not None and other >= number:
            if other == number:
                return False
            place -= 1
        has_passed = self._expected is not None and number < self._expected
        if has_passed or (not place and self._head):
            return False
        self._chunks.insert(place, chunk)
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
