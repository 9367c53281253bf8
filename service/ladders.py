"""Ladders of bounded length: of a call that is moved all day the beginning and the newest rungs.

Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

from service.model import LadderEvent, Step

FIRST = 20
NEWEST = 60
"""Rungs that a shortened ladder keeps, beside one that says how many it has lost."""

MOST = 100
"""Rungs at which a ladder is shortened: not with each, which would double the writes."""


def omitted(lost: Sequence[Step]) -> Step:
    """The rung that stands for those that are lost, one of which may stand for others already."""
    earlier = sum(int(_count(step)) for step in lost if step.event is LadderEvent.OMITTED)
    count = earlier + sum(step.event is not LadderEvent.OMITTED for step in lost)
    return Step(LadderEvent.OMITTED, lost[-1].at, lost[-1].status, f"{count} rungs were left out")


def _count(step: Step) -> str:
    return (step.detail or "0").partition(" ")[0]
