"""Reports that the database refuses, set aside with the later ones of the same call."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from time import monotonic

from service.media.rooms.reports import Report
from service.telemetry.logs import about

logger = logging.getLogger(__name__)

RETRY_SECONDS = 1.0
"""Pause between two attempts, in monotonic time."""

MOST_REFUSED = 3
"""Attempts after which a report is given up. A wait for a lock does not count, as locks end."""

MOST_LOCKED = 5
"""Locks that one pass waits for, because a whole table may be locked."""


class WriteOutcome(Enum):
    WRITTEN = auto()
    AWAY = auto()
    """The database is away, so no report can be written."""

    REFUSED = auto()
    CONTENDED = auto()
    """A row that this report changes is locked."""


@dataclass(slots=True)
class DeferredCall:
    """The reports of one call, and how often the first of them was refused."""

    reports: deque[Report] = field(default_factory=deque)
    refused: int = 1


class DeferredReports:
    """For one thread. ``lost`` is called for each report that is given up."""

    def __init__(self, write: Callable[[Report], WriteOutcome], lost: Callable[[], object]) -> None:
        self._write = write
        self._lost = lost
        self._calls: dict[str, DeferredCall] = {}
        self._tried_at = monotonic()

    def __len__(self) -> int:
        return sum(len(deferred.reports) for deferred in self._calls.values())

    def has(self, call_id: str) -> bool:
        return call_id in self._calls

    def add(self, report: Report) -> None:
        """Set aside a refused report, or one that follows it."""
        self._calls.setdefault(report.call_id, DeferredCall()).reports.append(report)

    def pending(self, reports: Sequence[Report]) -> Sequence[Report]:
        """Return the reports to write. Set aside the reports of calls that have refused ones."""
        due = []
        for report in reports:
            if self.has(report.call_id):
                self.add(report)
            else:
                due.append(report)
        return due

    def retry(self) -> bool:
        """Retry the reports if it is time. Return whether it was."""
        if monotonic() - self._tried_at < RETRY_SECONDS:
            return False
        locks = 0
        for call_id in list(self._calls):
            deferred = self._calls.pop(call_id)
            outcome = self._advance(deferred)
            if deferred.reports:
                # At the end of the queue, so the next pass begins with the calls that this one
                # has not reached.
                self._calls[call_id] = deferred
            locks += outcome is WriteOutcome.CONTENDED
            if outcome is WriteOutcome.AWAY or locks == MOST_LOCKED:
                break
        self._tried_at = monotonic()
        return True

    def _advance(self, deferred: DeferredCall) -> WriteOutcome:
        """Write the reports of one call up to one that fails. Return the last outcome."""
        outcome = WriteOutcome.WRITTEN
        while deferred.reports:
            outcome = self._write(deferred.reports[0])
            deferred.refused += outcome is WriteOutcome.REFUSED
            if outcome is not WriteOutcome.WRITTEN and deferred.refused < MOST_REFUSED:
                return outcome
            report = deferred.reports.popleft()
            if outcome is not WriteOutcome.WRITTEN:
                name = type(report).__name__
                logger.error("a report is given up: %s", name, extra=about(report.call_id))
                self._lost()
            deferred.refused = 0
        return outcome
