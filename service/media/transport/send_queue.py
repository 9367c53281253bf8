"""Data to be written to one socket. Bounded and pure: bytes in, bytes out.

Audio that cannot be written in time is worthless, so the oldest is dropped. Other data is kept in
order up to a limit, beyond which the peer has evidently stopped reading.
"""

from __future__ import annotations

from collections import deque

MAX_AUDIO = 25
"""Audio messages kept for a slow peer: half a second."""

MAX_BYTES = 256 * 1024
"""Bytes of other messages kept for a slow peer."""


class SendQueue:
    __slots__ = ("_audio", "_items", "_kept", "_written", "dropped")

    def __init__(self) -> None:
        self._items: deque[tuple[bytes, bool]] = deque()
        self._audio = 0
        self._kept = 0
        self._written = 0  # bytes of the first item that were written
        self.dropped = 0
        """Audio messages dropped because there were too many."""

    def __bool__(self) -> bool:
        return bool(self._items)

    def push(self, data: bytes, *, audio: bool) -> bool:
        """Add one whole frame. Returns false if the queue is over its limit."""
        self._items.append((data, audio))
        if not audio:
            self._kept += len(data)
            return self._kept <= MAX_BYTES
        self._audio += 1
        if self._audio > MAX_AUDIO:
            self._drop_oldest()
        return True

    def head(self) -> memoryview:
        """Return the unwritten rest of the first frame."""
        return memoryview(self._items[0][0])[self._written :]

    def rest(self) -> bytes:
        """Return all that was not written."""
        return b"".join(data for data, _ in self._items)[self._written :]

    def wrote(self, count: int) -> None:
        """Remove ``count`` written bytes of ``head``."""
        self._written += count
        data, audio = self._items[0]
        if self._written == len(data):
            self._items.popleft()
            self._written = 0
            if audio:
                self._audio -= 1
            else:
                self._kept -= len(data)

    def forget_audio(self) -> None:
        """Drop all audio, except the rest of a partly written frame."""
        begun = 1 if self._written else 0
        self._items = deque(
            item for place, item in enumerate(self._items) if place < begun or not item[1]
        )
        self._audio = sum(audio for _, audio in self._items)

    def _drop_oldest(self) -> None:
        """Drop the oldest audio, except the rest of a partly written frame."""
        for place, (_, audio) in enumerate(self._items):
            if audio and not (place == 0 and self._written):
                del self._items[place]
                self._audio -= 1
                self.dropped += 1
                return
