"""Detection of restarted chunk numbers among the chunks that a queue refuses.

A late or repeated chunk is one among others that are in time. If a peer has restarted its numbers,
or does not count, every chunk is refused.
"""

from __future__ import annotations

MOST = 5
"""Refused chunks in a row that establish new numbers: 80 ms are not heard."""

SECONDS = 2.0
"""Longest run of refused chunks, in seconds, if they follow no numbering."""


class Refusals:
    """Pure: times are arguments, in monotonic seconds."""

    __slots__ = ("_begun", "_last", "_run")

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Reset, because a chunk was in time."""
        self._begun: float | None = None
        self._last: tuple[int, bytes] | None = None
        self._run = 0

    def add(self, order: int, payload: bytes, at: float) -> bool:
        """Record a refused chunk. Returns whether it and those before it have new numbers.

        New numbers go up by ones, or stand still while the audio changes. A chunk that is sent
        twice has the same audio twice.
        """
        last, before = self._last or (None, b"")
        if last is None:
            self._begun = at
        if order - 1 == last or (order == last and payload != before):
            self._run += 1
        elif order != last:
            self._run = 1
        self._last = order, payload
        begun = at if self._begun is None else self._begun
        return self._run >= MOST or at > begun + SECONDS
