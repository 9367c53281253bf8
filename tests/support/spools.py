"""Spools with known audio."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from service.domain.wire import FRAME_SAMPLES, Encoding
from service.media.audio import g711
from service.recordings.spool_folder import SpoolFolder
from service.recordings.spool_format import MAX_TICKS, Record

FIRST = 89_277_000_000
"""A tick of the year 2026."""

CLICK = 16_000


def records_of(
    samples: NDArray[np.int16], tick: int = FIRST, encoding: Encoding = Encoding.LINEAR
) -> list[Record]:
    """Return records of a second each. The samples are whole frames."""
    frames = samples.reshape(-1, FRAME_SAMPLES)
    return [
        Record(tick + at, encoding, g711.encode(frames[at : at + MAX_TICKS], encoding))
        for at in range(0, len(frames), MAX_TICKS)
    ]


def spool(folder: SpoolFolder, track_id: str, records: Iterable[Record]) -> None:
    folder.open(track_id)
    for record in records:
        folder.append(track_id, record)


def clicks(seconds: int, positions: Iterable[int]) -> NDArray[np.int16]:
    """Return silence with a sample of ``CLICK`` at each position."""
    samples = np.zeros(seconds * 8000, np.int16)
    samples[list(positions)] = CLICK
    return samples
