"""Reports that the database refuses, set aside with those of the same call that follow them."""

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
"""Between two attempts, in monotonic time: it decides only how often a report is tried."""

MOST_REFUSED = 3
"""Attempts after which a report is given up. Waiting for a lock does not count: locks end."""

MOST_LOCKED = 5
"""Locks waited for in one pass: where a whole table is locked, all others would wait as well."""


class WriteOutcome(Enum):
    WRITTEN = auto()
    AWAY = auto()
    """The database is away, for every report."""

    REFUSED = auto()
    CONTENDED = auto()
    """Something that this report changes is locked."""


@dataclass(slots=True)
class DeferredCall:
    """The reports of one call, and how often the first of them was tried."""

    reports: deque[Report] = field(default_factory=deque)
    refused: int = 1


class DeferredReports:
    """For one thread. ``lost`` is called for each report that is given up."""

    def __init__(self, write: Callable[[Report], WriteOutcome], lost: Callable[[], object]) -> None:
        self._write = write
        self._lost = lost
        self._lines: dict[str, DeferredCall] = {}
        self._tried_at = monotonic()

    def __len__(self) -> int:
        return sum(len(line.reports) for line in self._lines.values())

    def has(self, call_id: str) -> bool:
        return call_id in self._lines

    def add(self, report: Report) -> None:
        """Set aside a refused report, or one that follows it."""
        self._lines.setdefault(report.call_id, DeferredCall()).reports.append(report)

    def pass_by(self, reports: Sequence[Report]) -> Sequence[Report]:
        """The reports to write now; those of a call that waits are set aside."""
        due = []
        for report in reports:
            if self.has(report.call_id):
                self.add(report)
            else:
                due.append(report)
        return due

    def retry(self) -> bool:
        """Try again where it is time. Returns whether it was."""
        if monotonic() - self._tried_at < RETRY_SECONDS:
            return False
        locks = 0
        for call_id in list(self._lines):
            line = self._lines.pop(call_id)
            outcome = self._advance(line)
            if line.reports:
                # To the end of the queue, so that the next pass begins with those not reached in
                # this one.
                self._lines[call_id] = line
            locks += outcome is WriteOutcome.CONTENDED
            if outcome is WriteOutcome.AWAY or locks == MOST_LOCKED:
                break
        self._tried_at = monotonic()
        return True

    def _advance(self, line: DeferredCall) -> WriteOutcome:
        """Write the reports of one call, up to one that cannot be written; the last outcome."""
        outcome = WriteOutcome.WRITTEN
        while line.reports:
            outcome = self._write(line.reports[0])
            line.refused += outcome is WriteOutcome.REFUSED
            if outcome is not WriteOutcome.WRITTEN and line.refused < MOST_REFUSED:
                return outcome
            report = line.reports.popleft()
            if outcome is not WriteOutcome.WRITTEN:
                name = type(report).__name__
                logger.error("a report is given up: %s", name, extra=about(report.call_id))
                self._lost()
            line.refused = 0
        return outcome
