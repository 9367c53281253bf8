"""Recovery from an exception in a tick: find the legs that cause it, and restore clean state."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from service.media.jitter.batch import BatchJitterBuffer
from service.media.rooms.leg import Leg
from service.media.rooms.mix import MixPlan


def withdraw(legs: Iterable[Leg], buffers: BatchJitterBuffer) -> None:
    """Take the legs' buffers out of a batch that may be inconsistent.

    A leg fails if its state cannot be taken out.
    """
    for leg in legs:
        if leg.buffer is not None:
            try:
                buffers.forget(leg.buffer)
            except Exception:
                leg.fail()


def probe(legs: Sequence[Leg], buffers: BatchJitterBuffer, at: float) -> None:
    """Fail the legs in a batch whose frame cannot be taken. The others lose one frame.

    Such a leg may work outside the batch, and would make it fail again on its return.
    """
    owned = [leg for leg in legs if leg.buffer is not None and leg.buffer.owner is buffers]
    if not owned:
        return
    rows = np.array([leg.buffer.row for leg in owned if leg.buffer is not None], np.intp)
    try:
        buffers.take(rows, at)
    except Exception:
        if len(owned) == 1:
            owned[0].fail()
            return
    else:
        return
    half = len(owned) // 2
    probe(owned[:half], buffers, at)
    probe(owned[half:], buffers, at)


def sift(rooms: Sequence[Sequence[Leg]], buffers: BatchJitterBuffer, at: float) -> list[Leg]:
    """Tick the rooms separately, and fail the legs with which a tick fails.

    A half that fails is halved again, so that the others lose as little as possible.
    Returns what ``MixPlan.tick`` returns.
    """
    if not rooms:
        return []
    try:
        return MixPlan(rooms, buffers).tick(at)
    except Exception:
        if len(rooms) == 1:
            _sift_room(rooms[0], buffers, at)
            return []
    half = len(rooms) // 2
    return [*sift(rooms[:half], buffers, at), *sift(rooms[half:], buffers, at)]


def _sift_room(legs: Sequence[Leg], buffers: BatchJitterBuffer, at: float) -> None:
    """Fail the legs that fail alone, or all of them if none does."""
    for leg in legs:
        try:
            MixPlan([[leg]], buffers).tick(at)
        except Exception:
            leg.fail()
    if not any(leg.failed for leg in legs):
        for leg in legs:
            leg.fail()
