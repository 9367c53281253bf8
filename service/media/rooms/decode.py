"""What the legs of one encoding have to say at a tick: a frame from each one's jitter buffer.

The batch passes over those that are steady. The others are asked one by one, and go to the batch
once nothing has happened to them for a while.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from service.domain.wire import FRAME_SAMPLES, Encoding, Marked
from service.media.audio import g711
from service.media.audio.g711 import Samples
from service.media.jitter.batch import BatchJitterBuffer
from service.media.jitter.buffer import JitterBuffer
from service.media.jitter.effects import Effect
from service.media.rooms.leg import Leg

MANY = 16
"""Legs from which on the batch is faster than one after the other."""

CALM = 25
"""Frames for which a leg must have been on its own before it goes to the batch."""

_FADE_IN: NDArray[np.float64] = np.minimum(np.arange(FRAME_SAMPLES) / 40, 1.0)
"""5 ms up, then flat."""

_FADE_OUT: NDArray[np.float64] = np.linspace(1.0, 0.0, FRAME_SAMPLES)


class InputGroup:
    """Legs that have started, with their rows in the matrix of what is heard."""

    def __init__(self, encoding: Encoding, buffers: BatchJitterBuffer) -> None:
        self._encoding = encoding
        self._buffers = buffers
        self._places: list[tuple[int, Leg, JitterBuffer]] = []
        self._at: dict[int, int] = {}  # places by row
        self._rows = np.zeros(0, np.intp)
        self._kept = np.zeros(0, np.intp)

    def __len__(self) -> int:
        return len(self._places)

    def seat(self, row: int, leg: Leg, buffer: JitterBuffer) -> None:
        self._at[row] = len(self._places)
        self._places.append((row, leg, buffer))
        self._rows = np.append(self._rows, row)
        self._kept = np.append(self._kept, buffer.row)

    def unseat(self, row: int) -> None:
        """The leg in this row is gone; the last one takes its place."""
        place, last = self._at.pop(row), self._places.pop()
        if place < len(self._places):
            self._places[place] = last
            self._at[last[0]] = place
        for column in (self._rows, self._kept):
            column[place] = column[-1]
        self._rows, self._kept = self._rows[:-1], self._kept[:-1]

    def collect(self, heard: Samples, at: float) -> None:
        """Put the next frame of each leg into its row; rows without one are left as they are."""
        if self._encoding.bytes_per_sample > 1 or len(self._places) < MANY:
            self._ask(range(len(self._places)), heard, at)
            return
        taken = self._buffers.take(self._kept, at)
        samples = g711.decode(taken.frames, self._encoding).reshape(-1, FRAME_SAMPLES)
        if len(taken.cut):
            before = g711.decode(taken.cut, self._encoding).reshape(-1, FRAME_SAMPLES)
            samples = samples.copy()
            samples[taken.follow] = _cross_fade(before, samples[taken.follow])
        if len(samples) == len(self._rows):
            heard[self._rows] = samples
            return
        heard[self._rows[taken.ordinary]] = samples
        others: list[int] = np.flatnonzero(~taken.ordinary).tolist()
        self._ask(others, heard, at)
        for place in others:
            _, leg, buffer = self._places[place]
            if buffer.alone >= CALM and not leg.failed:
                try:
                    if self._buffers.admit(buffer):
                        self._kept[place] = buffer.row
                except Exception:
                    leg.fail()

    def _ask(self, places: Iterable[int], heard: Samples, at: float) -> None:
        """Ask legs one by one."""
        plain = Effect.PLAIN
        rows: list[int] = []
        payloads: list[bytes] = []
        special: list[tuple[int, JitterBuffer]] = []
        for place in places:
            row, leg, buffer = self._places[place]
            try:
                frame = buffer.take(at)
                reached = buffer.reached() if buffer.marks else ()
            except Exception:
                leg.fail()
                continue
            if frame is not None:
                rows.append(row)
                payloads.append(frame)
                if buffer.effect is not plain:
                    special.append((row, buffer))
            for name in reached:
                leg.say(Marked(name))
        if rows:
            samples = g711.decode(b"".join(payloads), self._encoding)
            heard[rows] = samples.reshape(-1, FRAME_SAMPLES)
        for row, buffer in special:
            heard[row] = _blend(heard[row], buffer, self._encoding)


def _blend(samples: Samples, buffer: JitterBuffer, encoding: Encoding) -> Samples:
    """The buffer's last frame with its effect, so that a gap or a cut is faded and not clicked."""
    if buffer.effect is Effect.CONCEAL:
        # The last frame backwards goes on from the very sample on which the audio stopped.
        return (samples[::-1] * _FADE_OUT).astype(np.int16)
    if buffer.effect is Effect.SPLICE and buffer.spliced is not None:
        return _cross_fade(g711.decode(buffer.spliced, encoding), samples)
    return (samples * _FADE_IN).astype(np.int16)


def _cross_fade(before: Samples, samples: Samples) -> Samples:
    """From what would have come next to what does: one frame each, or a row for each of many."""
    return (before * _FADE_OUT + samples * (1.0 - _FADE_OUT)).astype(np.int16)
