"""Ladders of bounded length: the first and the newest steps are kept. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from service.domain.calls import LadderEvent, LadderStep

FIRST = 20
NEWEST = 60
"""Newest steps that a shortened ladder keeps, beside one step for all that were left out."""

MOST = 100
"""Steps at which a ladder is shortened. Shortening it at every step would double the writes."""


def omitted(lost: Sequence[LadderStep]) -> LadderStep:
    """Return the step that stands for these, one of which may stand for earlier ones."""
    earlier = sum(int(_count(step)) for step in lost if step.event is LadderEvent.OMITTED)
    count = earlier + sum(step.event is not LadderEvent.OMITTED for step in lost)
    return LadderStep(
        LadderEvent.OMITTED, lost[-1].at, lost[-1].status, f"{count} rungs were left out"
    )


def _count(step: LadderStep) -> str:
    return (step.detail or "0").partition(" ")[0]
