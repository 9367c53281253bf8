"""The ledger: the one thread that writes down what the engine reports, and watches the deadlines.

It may block on the database, which nothing on the 20 ms path waits for. What has been reported
meanwhile is written in one transaction, which costs much less than one each. Where that fails, each
report is written by itself. A database that is away loses nothing: reports wait in their queue. A
report that is refused is set aside with those of its call that follow, tried again a few times, and
given up, so that no other call waits for it.
"""

from __future__ import annotations

import logging
import queue
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

from service.calls import removals
from service.calls.deferred_reports import DeferredReports, Outcome
from service.calls.ending import Switchboard
from service.calls.lease_guard import LeaseGuard
from service.calls.timekeeper import Timekeeper
from service.errors import Busy, Contended, NotFound
from service.media.rooms.reports import Report
from service.process.background import BackgroundThread
from service.telemetry.logs import about

logger = logging.getLogger(__name__)

SWEEP_SECONDS = 1.0
"""Between two looks at the deadlines; also the wait before a failed write is tried again."""

POLL_SECONDS = 0.25
"""How long the thread waits for a report before it looks whether it should end."""

GATHER_SECONDS = 0.02
"""How long reports gather: a tick, after which a call that has started is often heard as well."""

BATCH = 32
"""Reports at most that are written in one transaction: whoever else wants to write waits for it."""

POSTPONED = 5
"""How often the deadlines are put off at most for reports that are set aside."""

FINISH_SECONDS = 5.0
"""How long ``stop`` waits for what is still to be written."""


class CallRecorder(BackgroundThread):
    """The thread starts by taking over what an earlier process has left.

    Where another process has the database, it waits until that one has ended.
    """

    def __init__(
        self,
        switchboard: Switchboard,
        reports: queue.SimpleQueue[Report],
        timekeeper: Timekeeper | None = None,
        guard: LeaseGuard | None = None,
        followers: Sequence[Callable[[], object]] = (),
    ) -> None:
        """Without a ``guard`` the database is its own. ``followers`` are called once it is."""
        super().__init__("ledger")
        self._switchboard = switchboard
        self._timekeeper = timekeeper
        self._reports = reports
        self._guard = guard
        self._followers = followers
        self._kept: list[Report] = []
        self._aside = DeferredReports(self._write, switchboard.metrics.report_lost)
        self._serves = False

    def stop(self, seconds: float | None = FINISH_SECONDS) -> None:
        """Write what has been reported so far, and end the thread."""
        super().stop(seconds)
        if self._thread is not None:
            self._try("secrets could not be sealed anew", self._switchboard.secrets.finish)

    def _prepare(self) -> None:
        self._serves = self._serves_at_once()
        self._switchboard.handover.is_waiting = not self._serves

    def _serves_at_once(self) -> bool:
        try:
            serves = self._take_over()
        except Busy as error:
            logger.warning("this server waits for the database: %s", error.message)
            return False
        if not serves:
            logger.warning("another server has this database: this one waits until it has ended")
        return serves

    def _take_over(self) -> bool:
        if self._guard is not None:
            self._switchboard.migrate()
            if not self._guard.acquire():
                return False
        board = self._switchboard
        board.take_over(self._timekeeper)
        board.secrets.begin(calls_are_up=board.calls.live() > 0)
        for follow in self._followers:
            follow()
        return True

    def _run(self) -> None:
        if self._serves or self._wait_to_serve():
            self._serve()

    def _wait_to_serve(self) -> bool:
        """Wait until the database is this process's; False where the process ends before."""
        told = ""
        while not self._stopping.wait(SWEEP_SECONDS / 2):
            try:
                if self._take_over():
                    self._switchboard.handover.is_waiting = False
                    logger.info("the database is this server's now")
                    return True
            except Busy as error:
                logger.debug("still waiting for the database: %s", error.message)
            except Exception as error:
                if repr(error) != told:
                    told = repr(error)
                    logger.exception("the calls could not be taken over")
        return False

    def _serve(self) -> None:
        clock = self._switchboard.clock
        next_sweep = clock.monotonic()
        postponed = 0
        is_behind = False
        while True:
            # Who seems to be late may have come in time, as a report says that is still to be
            # written: the database may have been away for longer than a deadline.
            if not is_behind and clock.monotonic() >= next_sweep:
                next_sweep = clock.monotonic() + SWEEP_SECONDS
                postponed = 0
                self._sweep()
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
                self._stopping.wait(SWEEP_SECONDS)
            else:
                self._switchboard.pulse.beat()

    def _take(self) -> Sequence[Report]:
        """What has been reported, in its order; nothing, where nothing was for a while."""
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
        """Write reports, or set them aside; False where the database is away, which keeps them."""
        due = self._aside.pass_by(reports)
        if not due:
            return True
        try:
            with self._switchboard.together():
                for report in due:
                    self._switchboard.record(report)
        except Exception:  # noqa: BLE001 - which of them is to blame is yet to be seen
            logger.info("%d reports are written one by one", len(due))
        else:
            return True
        for at, report in enumerate(due):
            if self._aside.has(report.call_id):
                self._aside.add(report)
                continue
            match self._write(report):
                case Outcome.AWAY:
                    self._kept = list(due[at:])
                    return False
                case Outcome.REFUSED | Outcome.CONTENDED:
                    self._aside.add(report)
        return True

    def _write(self, report: Report) -> Outcome:
        """Write a report that may be written already: a commit's answer can be lost."""
        try:
            with self._switchboard.together():
                self._switchboard.record(report, again=True)
        except NotFound:
            logger.warning("a report names a call that does not exist", extra=about(report.call_id))
        except Contended as error:
            logger.warning("a report waits: %s", error.message, extra=about(report.call_id))
            return Outcome.CONTENDED
        except Busy as error:
            logger.warning("reports are still to be written: %s", error.message)
            return Outcome.AWAY
        except Exception:
            logger.exception("a report could not be written", extra=about(report.call_id))
            return Outcome.REFUSED
        return Outcome.WRITTEN

    def _give_up(self) -> None:
        left = len(self._kept) + self._reports.qsize() + len(self._aside)
        if left:
            logger.error("giving up on %d reports: the process is ending", left)

    def _sweep(self) -> None:
        if self._guard is not None and not self._guard.holds:
            # The calls belong to the next process already.
            return
        board = self._switchboard
        deadlines = "the deadlines could not be looked at"
        if self._timekeeper is not None:
            self._try(deadlines, self._timekeeper.follow)
        self._try(deadlines, partial(Switchboard.sweep, board))
        self._try(deadlines, partial(removals.sweep, board))
        self._try("secrets could not be sealed anew", board.secrets.sweep)

    def _try(self, failure: str, act: Callable[[], object]) -> None:
        try:
            act()
        except Busy as error:
            logger.warning("%s: %s", failure, error.message)
        except Exception:
            logger.exception("%s", failure)
