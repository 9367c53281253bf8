"""Live levels and buffer statistics of all legs, read in one pass during calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np

from service.domain.wire import PERIOD
from service.media.audio.levels import Levels
from service.media.jitter.batch import BatchJitterBuffer
from service.media.rooms.leg import Leg

LiveLevels: TypeAlias = tuple[float | None, float | None, int, float, int]
"""Levels spoken and heard in dBFS (``None``: silence), lost chunks, jitter and waiting audio, both
in milliseconds."""


def live_levels(
    rows: Mapping[Leg, int], levels: Levels, batch: BatchJitterBuffer
) -> Mapping[str, LiveLevels]:
    """Return each leg's values by call id. ``rows`` has each started leg's row in ``levels``."""
    legs = list(rows)
    buffers = [leg.buffer for leg in legs if leg.buffer is not None]
    owned, jitter, waiting = batch.live(np.array([buffer.row for buffer in buffers], np.intp))
    for index in np.flatnonzero(~owned).tolist():
        buffer = buffers[index]
        jitter[index], waiting[index] = buffer.stats.jitter, buffer.depth / PERIOD
    said, heard = levels.now(list(rows.values()))
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
