"""What can be read off every leg at once while calls go on, without stopping anything for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np

from service.domain.wire import PERIOD
from service.media.audio.levels import Levels
from service.media.jitter.batch import BatchJitterBuffer
from service.media.rooms.leg import Leg

Gauge: TypeAlias = tuple[float | None, float | None, int, float, int]
"""The levels of what is said and heard in dBFS (``None`` is silence), chunks of audio lost, jitter
and audio waiting, both in milliseconds."""


def gauges(
    places: Mapping[Leg, int], levels: Levels, bank: BatchJitterBuffer
) -> Mapping[str, Gauge]:
    """By call id, of legs that have all started, with their rows in ``levels``."""
    legs = list(places)
    buffers = [leg.buffer for leg in legs if leg.buffer is not None]
    kept, jitter, waiting = bank.gauge(np.array([buffer.row for buffer in buffers], np.intp))
    for place in np.flatnonzero(~kept).tolist():
        buffer = buffers[place]
        jitter[place], waiting[place] = buffer.stats.jitter, buffer.depth / PERIOD
    said, heard = levels.now(list(places.values()))
    return dict(
        zip(
            [leg.spec.call_id for leg in legs],
            zip(
                said,
                heard,
                [buffer.chunks.lost for buffer in buffers],
                np.round(jitter * 1000, 1).tolist(),
                np.rint(waiting * PERIOD * 1000).astype(int).tolist(),
                strict=True,
            ),
            strict=True,
        )
    )
