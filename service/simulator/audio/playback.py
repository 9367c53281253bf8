"""Playback to the caller: audio that arrives early waits, and late audio leaves a gap.

Times are arguments: positions in samples on the timeline of the call.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from service.simulator.audio.codec import RATE, Samples

PLAYOUT = RATE * 40 // 1000
"""Delay of a provider's playback with an empty buffer, which hides jitter."""


class Playback:
    """The playback of one call, across its sockets."""

    def __init__(self, buffer_seconds: float) -> None:
        self.heard_samples = 0
        self.missing_samples = 0
        self.discarded_samples = 0
        self._limit = round(buffer_seconds * RATE)
        self._pieces: list[tuple[int, Samples]] = []
        self._end = 0
        self._playing = False
        self._marks: deque[tuple[int, str]] = deque()

    def play(self, samples: Samples, now: int) -> None:
        """Append audio to the buffer."""
        start = self._end
        if start <= now:
            start = now + PLAYOUT
            if self._playing:
                self.missing_samples += start - self._end
        if start + samples.size - now > self._limit:
            self.discarded_samples += samples.size
            return
        self._playing = True
        self._pieces.append((start, samples))
        self._end = start + samples.size
        self.heard_samples += samples.size

    def mark(self, name: str, now: int) -> None:
        self._marks.append((max(self._end, now), name))

    def due(self, now: int) -> list[str]:
        """Return the marks that have been reached since the last call."""
        names = []
        while self._marks and self._marks[0][0] <= now:
            names.append(self._marks.popleft()[1])
        return names

    def clear(self, now: int) -> list[str]:
        """Drop the audio not played yet, and return the marks not reached yet."""
        while self._pieces and self._pieces[-1][0] + self._pieces[-1][1].size > now:
            start, samples = self._pieces.pop()
            kept = samples[: max(0, now - start)]
            self.heard_samples -= samples.size - kept.size
            if kept.size:
                self._pieces.append((start, kept))
        self._end = min(self._end, now)
        self._playing = False
        names = [name for _, name in self._marks]
        self._marks.clear()
        return names

    def recording(self, length: int) -> Samples:
        """Return the first ``length`` samples, with silence in gaps."""
        recording = np.zeros(length, np.int16)
        for start, samples in list(self._pieces):
            piece = samples[: max(0, length - start)]
            recording[start : start + piece.size] = piece
        return recording
