"""The recorder's thread: writes the engine's reports in batches, and runs the sweeps.

It may block on the database, which nothing on the 20 ms path waits for. Reports that have gathered
are written in one transaction, which costs much less than one each. Where that fails, each report
is written by itself. While the database is away, reports wait in their queue. A report that is
refused is set aside with the later ones of its call, retried a few times and then given up, so it
blocks no other call.
"""

from __future__ import annotations

import logging
import queue
from collections.abc import Callable, Sequence
from contextlib import suppress
from time import monotonic

from service.calls.deferred_reports import DeferredReports, WriteOutcome
from service.calls.recorder import CallRecorder
from service.calls.serving_state import NOT_SHARED, ServingState
from service.calls.sweeps import Sweeps
from service.calls.takeover import Takeover
from service.clock import Clock
from service.errors import Busy, Contended, NotFound
from service.media.rooms.reports import Report
from service.process.background import BackgroundThread
from service.storage.database import Database
from service.telemetry.logs import about
from service.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)

SWEEP_SECONDS = 1.0
"""Interval of the sweeps, and the wait before a failed write is retried."""

POLL_SECONDS = 0.25
"""Seconds to wait for a report before checking whether to stop."""

GATHER_SECONDS = 0.02
"""Seconds in which reports are collected for one transaction: a tick. A call that has started often
sends its first audio within it."""

BATCH = 32
"""Most reports in one transaction, because other writers wait for it."""

POSTPONED = 5
"""Times in a row that the sweeps may be postponed for reports that are set aside."""

FINISH_SECONDS = 5.0
"""Seconds for which ``stop`` waits for the remaining reports to be written."""

BEAT_SECONDS = 15.0
"""Seconds for which the thread may write nothing before readiness reports it."""


class Heartbeat:
    """The time at which the thread last had every report written. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._at: float | None = None

    def beat(self) -> None:
        self._at = self._clock()

    @property
    def is_overdue(self) -> bool:
        """False before the first beat, as the thread may not have been started."""
        return self._at is not None and self._clock() - self._at > BEAT_SECONDS


class RecorderThread(BackgroundThread):
    """Takes over from the last process, and waits while another process holds the database."""

    def __init__(
        self,
        clock: Clock,
        reports: queue.SimpleQueue[Report],
        recorder: CallRecorder,
        database: Database,
        takeover: Takeover,
        sweeps: Sweeps,
        serving: ServingState,
        metrics: Metrics,
        followers: Sequence[Callable[[], object]] = (),
    ) -> None:
        """``followers`` are called once, after the takeover."""
        super().__init__("recorder")
        self._clock = clock
        self._reports = reports
        self._recorder = recorder
        self._database = database
        self._takeover = takeover
        self._sweeps = sweeps
        self._serving = serving
        self._followers = followers
        self._kept: list[Report] = []
        self._aside = DeferredReports(self._write, metrics.report_lost)
        self._serves = False
        self._reason: str | None = None
        self.heartbeat = Heartbeat()

    def stop(self, seconds: float | None = FINISH_SECONDS) -> None:
        """Write the reports so far, and stop the thread."""
        super().stop(seconds)
        if self._thread is not None:
            self._sweeps.finish()

    def _prepare(self) -> None:
        self._serves = self._serves_at_once()
        self._serving.is_waiting = not self._serves

    def _serves_at_once(self) -> bool:
        try:
            return self._take_over()
        except Busy as error:
            self._wait_for(error.message)
            return False

    def _take_over(self) -> bool:
        if not self._takeover.attempt():
            self._wait_for(NOT_SHARED)
            return False
        for follow in self._followers:
            follow()
        return True

    def _run(self) -> None:
        if self._serves or self._wait_to_serve():
            self._serve()

    def _wait_to_serve(self) -> bool:
        """Wait for the takeover. Returns false where the process ends before."""
        last_error = ""
        while not self._stopping.wait(SWEEP_SECONDS / 2):
            try:
                if self._take_over():
                    self._serving.is_waiting = False
                    logger.info("the database is this server's now")
                    return True
            except Busy as error:
                self._wait_for(error.message)
            except Exception as error:
                if repr(error) != last_error:
                    last_error = repr(error)
                    logger.exception("the calls could not be taken over")
        return False

    def _wait_for(self, reason: str) -> None:
        """Note why this server waits, and log it where the reason is new."""
        if self._reason != reason:
            self._reason = self._serving.waits_for = reason
            logger.warning("this server waits for the database: %s", reason)

    def _serve(self) -> None:
        next_sweep = self._clock.monotonic()
        postponed = 0
        is_behind = False
        while True:
            # A sweep waits for the reports in the queue: the database may have been away for
            # longer than a deadline that was met in time.
            if not is_behind and self._clock.monotonic() >= next_sweep:
                next_sweep = self._clock.monotonic() + SWEEP_SECONDS
                postponed = 0
                self._sweeps.run()
            reports = self._take()
            is_away = not self._persist(reports)
            is_behind = is_away or len(reports) == BATCH
            if self._aside and not is_behind:
                postponed += self._aside.retry()
                is_behind = bool(self._aside) and postponed < POSTPONED
            if self._stopping.is_set() and (is_away or not reports):
                self._give_up()
                return
            if is_away:
                self._sweeps.interrupt()
                self._stopping.wait(SWEEP_SECONDS)
            else:
                self.heartbeat.beat()

    def _take(self) -> Sequence[Report]:
        """Return the oldest reports in their order, or none if none came for a while."""
        taken, self._kept = self._kept, []
        if taken:
            return taken
        with suppress(queue.Empty):
            taken.append(self._reports.get(timeout=POLL_SECONDS))
            self._stopping.wait(GATHER_SECONDS)
            while len(taken) < BATCH:
                taken.append(self._reports.get_nowait())
        return taken

    def _persist(self, reports: Sequence[Report]) -> bool:
        """Write reports or set them aside. While the database is away, keep them: returns false."""
        due = self._aside.pending(reports)
        if not due:
            return True
        try:
            with self._database.together():
                for report in due:
                    self._recorder.record(report)
        except Exception:  # noqa: BLE001 - writing them one by one finds the one to blame
            logger.info("%d reports are written one by one", len(due))
        else:
            return True
        for at, report in enumerate(due):
            if self._aside.has(report.call_id):
                self._aside.add(report)
                continue
            match self._write(report):
                case WriteOutcome.AWAY:
                    self._kept = list(due[at:])
                    return False
                case WriteOutcome.REFUSED | WriteOutcome.CONTENDED:
                    self._aside.add(report)
        return True

    def _write(self, report: Report) -> WriteOutcome:
        """Write a report that may have been written: the answer to a commit can be lost."""
        try:
            with self._database.together():
                self._recorder.record(report, again=True)
        except NotFound:
            logger.warning("a report names a call that does not exist", extra=about(report.call_id))
        except Contended as error:
            logger.warning("a report waits: %s", error.message, extra=about(report.call_id))
            return WriteOutcome.CONTENDED
        except Busy as error:
            logger.warning("reports are still to be written: %s", error.message)
            return WriteOutcome.AWAY
        except Exception:
            logger.exception("a report could not be written", extra=about(report.call_id))
            return WriteOutcome.REFUSED
        return WriteOutcome.WRITTEN

    def _give_up(self) -> None:
        left = len(self._kept) + self._reports.qsize() + len(self._aside)
        if left:
            logger.error("giving up on %d reports: the process is ending", left)
