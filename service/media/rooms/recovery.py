"""Recovery from a fault of ours in a tick: clean state, without the legs that cause the fault."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from service.media.jitter.batch import BatchJitterBuffer
from service.media.rooms.leg import Leg
from service.media.rooms.mix import MixPlan


def withdraw(legs: Iterable[Leg], buffers: BatchJitterBuffer) -> None:
    """Take the legs' buffers out of a batch that cannot be trusted any more.

    A leg whose state does not come out whole has failed.
    """
    for leg in legs:
        if leg.buffer is not None:
            try:
                buffers.forget(leg.buffer)
            except Exception:
                leg.fail()


def probe(legs: Sequence[Leg], buffers: BatchJitterBuffer, at: float) -> None:
    """Fail the legs whose frame a batch cannot take, of those that are in it. The others lose one.

    Out of the batch nothing may be wrong with them, and it would fail again when they come back.
    """
    kept = [leg for leg in legs if leg.buffer is not None and leg.buffer.owner is buffers]
    if not kept:
        return
    rows = np.array([leg.buffer.row for leg in kept if leg.buffer is not None], np.intp)
    try:
        buffers.take(rows, at)
    except Exception:
        if len(kept) == 1:
            kept[0].fail()
            return
    else:
        return
    half = len(kept) // 2
    probe(kept[:half], buffers, at)
    probe(kept[half:], buffers, at)


def sift(rooms: Sequence[Sequence[Leg]], buffers: BatchJitterBuffer, at: float) -> list[Leg]:
    """Tick the rooms apart from each other, and fail the legs with which that cannot be done.

    Halves that cannot be ticked are halved again, so that the others lose as little as possible.
    The answer is like that of ``MixPlan.tick``.
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
    """Fail the legs that cannot be ticked alone; all of them, where it is the room that cannot."""
    for leg in legs:
        try:
            MixPlan([[leg]], buffers).tick(at)
        except Exception:
            leg.fail()
    if not any(leg.failed for leg in legs):
        for leg in legs:
            leg.fail()
