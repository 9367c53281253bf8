"""Queue of one peer's audio in playing order, for chunks of any length.

A byte queue that keeps the time of arrival of each byte, and sorts chunks that the peer numbers.
Pure: times are arguments, in monotonic seconds.

Some peers restart their numbers in mid-stream, wrap around, or repeat one number for ever, and must
be heard all the same. Numbers that are far off, or by which every chunk would be refused, are
resynchronised with the current chunk. Numbers that need this again soon after are ignored until
they have gone up by ones for a while.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TypeAlias

from service.media.jitter.refusals import Refusals

MAX_JUMP = 500
"""Chunks a peer may be ahead of or behind its count: ten seconds of frames."""

PROOF = 50
"""Chunks numbered by ones before the numbers are trusted again: a second of frames."""


Chunk: TypeAlias = tuple[int | None, bytes, float]
"""Number, payload and time of arrival. A plain tuple is made twice as fast as a named one."""


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
        """Chunks refused because they came late or twice."""
        self.lost = 0
        """Chunks that had not arrived in time."""
        self.renumbered = 0
        """Resynchronisations of the peer's numbers."""
        self._chunks: deque[Chunk] = deque()  # with numbers that continue where the peer's do not
        self._head = 0  # bytes of the first chunk that were taken
        self._expected: int | None = None
        self._counts_by_one = False
        self._shift = 0  # from the peer's numbers to those here
        self._last: int | None = None  # the peer's number of the last chunk
        self._refusals = Refusals()
        self._proven = PROOF  # chunks numbered by ones since the last resynchronisation
        self._is_trusted = True

    def push(self, payload: bytes, at: float, order: int | None) -> bool:
        """Add a chunk. Returns whether it came in time."""
        number = None if order is None else self._number_of(order)
        if number is None or number >= (self._following() or 0):
            self._append(number, payload, at)
        elif self._insert((number, payload, at), number):
            self._refusals.forget()
        elif order is not None and self._refusals.add(order, payload, at):
            self._append(self._resynchronise(order), payload, at)
        else:
            self.late += 1
            return False
        self.size += len(payload)
        return True

    def take(self, count: int) -> bytes:
        """Take ``count`` bytes; at least that many must be waiting."""
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
        """Return the next ``count`` bytes, or fewer if the first chunk is shorter."""
        return self._chunks[0][1][self._head : self._head + count]

    def fill(self, silence: bytes) -> None:
        """Append silence to the last chunk."""
        order, payload, arrived = self._chunks[-1]
        self._chunks[-1] = (order, payload + silence, arrived)
        self.size += len(silence)

    def arrived(self, count: int) -> float:
        """Return when the last of the next ``count`` bytes arrived."""
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
        """Whether the next chunk arrived before one that precedes it.

        Always false for a peer that has not numbered its chunks by ones so far.
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
        """Return the waiting chunks if all have this length and none is missing; else ``None``."""
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

    def rest(self) -> tuple[Chunk, ...]:
        """Return the audio that waits, by the numbers of the peer."""
        found = []
        start = self._head
        for number, payload, arrived in self._chunks:
            order = None if number is None else number - self._shift
            found.append((order, payload[start:], arrived))
            start = 0
        return tuple(found)

    def next_order(self) -> int | None:
        """Return the number expected of the peer's next chunk, if the queue is ``whole``."""
        following = self._following()
        return None if following is None else following - self._shift

    def resume(self, chunks: Sequence[Chunk], passed: int, next_order: int | None) -> None:
        """Continue with ``chunks``, which are ``whole``, after ``passed`` more bytes were taken."""
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
        """Return the number after the last chunk; ``None`` if none was numbered."""
        last = self._chunks[-1][0] if self._chunks else None
        return self._expected if last is None else last + 1

    def _number_of(self, order: int) -> int | None:
        """Return the number of a chunk in this queue's continuous numbering.

        ``None`` if the peer's numbers are not trusted; the chunk then goes to the end.
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
        return self._resynchronise(order) if is_off else number

    def _resynchronise(self, order: int) -> int | None:
        """Resynchronise the numbers with this chunk; ignore them if that was needed just before."""
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
        """Insert a late chunk by its number. Returns false if its turn has passed or is taken."""
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
