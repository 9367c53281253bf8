"""Input of a tick: one decoded frame from the jitter buffer of each leg with one encoding.

The batch serves steady legs in one pass. The others are served one by one, and join the batch once
they have been steady for a while.
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
"""Number of legs from which the batch is faster than one leg after another."""

CALM = 25
"""Frames for which a leg is served alone before it joins the batch."""

_FADE_IN: NDArray[np.float64] = np.minimum(np.arange(FRAME_SAMPLES) / 40, 1.0)
"""5 ms up, then flat."""

_FADE_OUT: NDArray[np.float64] = np.linspace(1.0, 0.0, FRAME_SAMPLES)


class InputGroup:
    """Started legs of one encoding, with their rows in the tick's matrix of samples."""

    def __init__(self, encoding: Encoding, buffers: BatchJitterBuffer) -> None:
        self._encoding = encoding
        self._buffers = buffers
        self._places: list[tuple[int, Leg, JitterBuffer]] = []
        self._at: dict[int, int] = {}  # places by row
        self._rows = np.zeros(0, np.intp)
        self._buffer_rows = np.zeros(0, np.intp)

    def __len__(self) -> int:
        return len(self._places)

    def assign(self, row: int, leg: Leg, buffer: JitterBuffer) -> None:
        self._at[row] = len(self._places)
        self._places.append((row, leg, buffer))
        self._rows = np.append(self._rows, row)
        self._buffer_rows = np.append(self._buffer_rows, buffer.row)

    def remove(self, row: int) -> None:
        """Remove the leg in this row; the last one takes its place."""
        place, last = self._at.pop(row), self._places.pop()
        if place < len(self._places):
            self._places[place] = last
            self._at[last[0]] = place
        for column in (self._rows, self._buffer_rows):
            column[place] = column[-1]
        self._rows, self._buffer_rows = self._rows[:-1], self._buffer_rows[:-1]

    def collect(self, heard: Samples, at: float) -> None:
        """Write the next frame of each leg into its row. Rows without a frame stay unchanged."""
        if self._encoding.bytes_per_sample > 1 or len(self._places) < MANY:
            self._take_each(range(len(self._places)), heard, at)
            return
        taken = self._buffers.take(self._buffer_rows, at)
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
        self._take_each(others, heard, at)
        for place in others:
            _, leg, buffer = self._places[place]
            if buffer.alone >= CALM and not leg.failed:
                try:
                    if self._buffers.admit(buffer):
                        self._buffer_rows[place] = buffer.row
                except Exception:
                    leg.fail()

    def _take_each(self, places: Iterable[int], heard: Samples, at: float) -> None:
        """Take the next frame of these legs one by one."""
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
    """Apply the buffer's effect to its last frame, so that a gap or a cut makes no click."""
    if buffer.effect is Effect.CONCEAL:
        # The last frame reversed starts with the sample on which the audio stopped.
        return (samples[::-1] * _FADE_OUT).astype(np.int16)
    if buffer.effect is Effect.SPLICE and buffer.spliced is not None:
        return _cross_fade(g711.decode(buffer.spliced, encoding), samples)
    return (samples * _FADE_IN).astype(np.int16)


def _cross_fade(before: Samples, samples: Samples) -> Samples:
    """Cross-fade from the dropped audio to ``samples``: one frame each, or one row per leg."""
    return (before * _FADE_OUT + samples * (1.0 - _FADE_OUT)).astype(np.int16)
