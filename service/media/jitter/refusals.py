"""Consecutive chunks that a queue refuses, and whether they follow a new count.

A chunk that is late or doubled is one among others that are in time. A peer that has begun its
count anew, or does not count at all, has nothing else to send.
"""

from __future__ import annotations

MOST = 5
"""Chunks of another count that are refused before it is taken for one: 80 ms are not heard."""

SECONDS = 2.0
"""How long chunks may be refused that follow no count at all."""


class Refusals:
    """Pure: times are arguments, in monotonic seconds."""

    __slots__ = ("_begun", "_last", "_run")

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """A chunk was in time."""
        self._begun: float | None = None
        self._last: tuple[int, bytes] | None = None
        self._run = 0

    def add(self, order: int, payload: bytes, at: float) -> bool:
        """Note a refused chunk. Returns whether it and those before it follow a new count.

        That goes up by ones, or stands still while the audio changes. A chunk that comes twice is
        the same twice.
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
