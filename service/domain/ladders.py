"""Ladders of bounded length: the first and the newest rungs stay.

Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

from service.domain.calls import LadderEvent, LadderStep

FIRST = 20
NEWEST = 60
"""Rungs that a shortened ladder keeps, beside one that tells how many were left out."""

MOST = 100
"""Rungs at which a ladder is shortened. To shorten it with each rung would double the writes."""


def omitted(lost: Sequence[LadderStep]) -> LadderStep:
    """Return the rung that stands for these. One of them may stand for others already."""
    earlier = sum(int(_count(step)) for step in lost if step.event is LadderEvent.OMITTED)
    count = earlier + sum(step.event is not LadderEvent.OMITTED for step in lost)
    return LadderStep(
        LadderEvent.OMITTED, lost[-1].at, lost[-1].status, f"{count} rungs were left out"
    )


def _count(step: LadderStep) -> str:
    return (step.detail or "0").partition(" ")[0]
