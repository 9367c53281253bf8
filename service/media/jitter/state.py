"""State that a steady jitter buffer hands over to the owner of a batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeVar

from service.media.jitter.chunk_queue import Chunk

Buffer = TypeVar("Buffer", contravariant=True)


@dataclass(frozen=True, slots=True)
class BufferState:
    """State of a buffer that only counts frames and passes them on.

    ``frames`` are the waiting frames in order, each with its number if the peer counts them, and
    its time of arrival. ``last`` is the last frame taken, and ``cut`` the first dropped after it.
    ``next_order`` is the number of the next frame to arrive. ``full`` has the times of the buffer's
    ``Overrun``; ``base``, ``capacity`` and ``settling`` are those of its ``Pace``. The other fields
    are the buffer's counters.
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


class BatchOwner(Protocol[Buffer]):
    """Holder of the state of steady buffers, which acts for them."""

    def release(self, buffer: Buffer) -> None:
        """Return the buffer's state to it."""
        ...
