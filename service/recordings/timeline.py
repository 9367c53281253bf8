"""Audio of spools on the time line of ticks: samples of a track, and mixes of several.

A gap is silence. Where records overlap, the earlier one holds. All functions work a second at a
time, so that the length of a recording takes no memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from service.domain.wire import FRAME_SAMPLES
from service.media.audio import g711
from service.media.audio.g711 import Samples
from service.recordings.spool_format import Record

BLOCK_TICKS = 50
"""Ticks in one block of samples: one second."""


def track(records: Iterable[Record], first: int, end: int) -> Iterator[Samples]:
    """Yield the samples of a track from the tick ``first`` on, and until before ``end``.

    Each block has ``BLOCK_TICKS``, and the last one the rest.
    """
    coming = _frames(records, first)
    waiting = next(coming, None)
    for tick in range(first, end, BLOCK_TICKS):
        stop = min(tick + BLOCK_TICKS, end)
        block = np.zeros(((stop - tick), FRAME_SAMPLES), np.int16)
        while waiting is not None and waiting[0] < stop:
            start, frames = waiting
            count = min(len(frames), stop - start)
            block[start - tick : start - tick + count] = frames[:count]
            rest = frames[count:]
            waiting = (start + count, rest) if len(rest) else next(coming, None)
        yield block.ravel()


def mix(tracks: Sequence[Iterator[Samples]]) -> Iterator[Samples]:
    """Yield the saturated sums of tracks with equal blocks, as the mixer makes them."""
    for blocks in zip(*tracks, strict=True):
        if len(blocks) == 1:
            yield blocks[0]
            continue
        total = np.zeros(len(blocks[0]), np.int32)
        for block in blocks:
            total += block
        yield np.clip(total, -32_768, 32_767).astype(np.int16)


def channels(
    spools: Sequence[Sequence[Iterable[Record]]], first: int, end: int
) -> Iterator[Samples]:
    """Yield samples with one column for each channel. A channel is the mix of its spools."""
    mixes = [
        mix([track(records, first, end) for records in channel] or [track((), first, end)])
        for channel in spools
    ]
    for blocks in zip(*mixes, strict=True):
        yield np.stack(blocks, axis=1)


def _frames(records: Iterable[Record], first: int) -> Iterator[tuple[int, Samples]]:
    """Yield decoded frames with their first tick, from ``first`` on and without overlaps."""
    reached = first
    for record in records:
        if record.end <= reached:
            continue
        frames = g711.decode(record.payload, record.encoding).reshape(-1, FRAME_SAMPLES)
        start = max(record.tick, reached)
        yield start, frames[start - record.tick :]
        reached = record.end
