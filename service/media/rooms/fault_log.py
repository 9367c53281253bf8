"""Unexpected exceptions in the engine: each is counted, and costs one leg at most."""

from __future__ import annotations

import logging
import sys
from collections import Counter
from collections.abc import Mapping
from typing import TypeAlias

logger = logging.getLogger(__name__)

FAULT_SECONDS = 1.0
"""Faults of the whole engine within this time of each other count as consecutive."""

MOST_FAULTS = 2
"""Consecutive faults after which all calls are kept. The next one hands them back."""

MOST_PLACES = 1000
"""Places in the code that are counted separately: far more than occur."""

Place: TypeAlias = tuple[str, str, int]
"""The exception's class, and the file and line that raised it."""


class FaultLog:
    """For the engine's thread. Its owner clears ``leg_has_failed`` and closes the failed legs."""

    def __init__(self) -> None:
        self.count = 0
        self.leg_has_failed = False
        self._places: Counter[Place] = Counter()
        self._row, self._last = 0, float("-inf")

    def in_a_row(self, at: float) -> int:
        """Count a fault of the whole engine at this time. Returns how many are consecutive."""
        self._row = self._row + 1 if at < self._last + FAULT_SECONDS else 1
        self._last = at
        return self._row

    def note(self, what: str, fields: Mapping[str, str] | None = None) -> None:
        """Count the exception being handled, and log it.

        The first one at a place in the code is logged with its traceback. Of the others the second,
        fourth, eighth and so on get one line each, so that a fault of every tick does not fill the
        disk.
        """
        self.count += 1
        place = _place()
        if place not in self._places and len(self._places) >= MOST_PLACES:
            self._places.clear()
        self._places[place] += 1
        times = self._places[place]
        if times == 1:
            logger.exception(what, extra=fields)
        elif not times & (times - 1):
            logger.error(  # The traceback is in the log already.
                "%s: %s at %s:%d, %d times so far", what, *place, times, extra=fields
            )


def _place() -> Place:
    kind, _, trace = sys.exc_info()
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if kind is None or trace is None:
        return "", "", 0
    return kind.__name__, trace.tb_frame.f_code.co_filename, trace.tb_lineno
