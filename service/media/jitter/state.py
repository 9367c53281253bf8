"""What a jitter buffer hands over while it is steady, and to whom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from service.media.jitter.chunk_queue import Chunk

if TYPE_CHECKING:
    from service.media.jitter.buffer import JitterBuffer


@dataclass(frozen=True, slots=True)
class BufferState:
    """The state of a buffer that only counts and passes frames on.

    ``frames`` wait, in order, each with its place in the peer's count (where it counts) and its
    time of arrival; ``last`` was the last to be taken, and ``cut``, if anything, was dropped after
    it. ``next_order`` is the place of the one that comes next. ``full`` are the times of the
    buffer's ``Overrun``, and ``base``, ``capacity`` and ``settling`` what its ``Pace`` knows. The
    rest are the buffer's own counters.
    """

    frames: tuple[Chunk, ...]
    last: bytes
    cut: bytes | None
    pushed: int
    transit: float
    jitter: float
    window: int
    left: int
    margin: float
    next_order: int | None
    full: tuple[float, float]
    base: float
    capacity: int
    settling: tuple[int, float]


class BatchOwner(Protocol):
    """Whoever acts in a steady buffer's place."""

    def release(self, buffer: JitterBuffer) -> None:
        """Give the buffer its state back."""
        ...
