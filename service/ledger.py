"""The ledger: the one thread that writes down what the engine reports, and watches the deadlines.

It may block on the database, which nothing on the 20 ms path waits for. What has been reported
meanwhile is written in one transaction, which costs much less than one each. Where that fails, each
report is written by itself, and tried again until it can be, so that a database that is away for a
while loses nothing.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

from service import attendance
from service.calls import Switchboard
from service.errors import Busy, NotFound
from service.logs import about
from service.media.reports import Report
from service.timekeeper import Timekeeper

logger = logging.getLogger(__name__)

SWEEP_SECONDS = 1.0
"""Between two looks at the deadlines; also the wait before a failed write is tried again."""

POLL_SECONDS = 0.25
"""How long the thread waits for a report before it looks whether it should end."""

GATHER_SECONDS = 0.02
"""How long reports gather: a tick, after which a call that has started is often heard as well."""

BATCH = 32
"""Reports at most that are written in one transaction: whoever else wants to write waits for it."""

FINISH_SECONDS = 5.0
"""How long ``stop`` waits for what is still to be written."""


class Ledger:
    """Thread-safe. The thread is started once, after any fork."""

    def __init__(
        self,
        switchboard: Switchboard,
        reports: queue.SimpleQueue[Report],
        timekeeper: Timekeeper | None = None,
    ) -> None:
        self._switchboard = switchboard
        self._timekeeper = timekeeper
        self._reports = reports
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()

    def start(self) -> None:
        """Take over what an earlier process has left, and start the thread, unless it runs."""
        if self._thread is not None:
            return
        with self._lock:
            if self._thread is None:
                self._switchboard.take_over(self._timekeeper)
                self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """Write what has been reported so far, and end the thread."""
        thread = self._thread
        self._stopping.set()
        if thread is not None:
            thread.join(FINISH_SECONDS)

    def _run(self) -> None:
        clock = self._switchboard.clock
        next_sweep = clock.monotonic()
        is_behind = False
        while True:
            # Whoever seems to be late may have come in time, as a report says that is still to be
            # written: the database may have been away for longer than a deadline.
            if not is_behind and clock.monotonic() >= next_sweep:
                next_sweep = clock.monotonic() + SWEEP_SECONDS
                self._sweep()
            reports = self._take()
            if reports:
                is_behind = not self._persist_together(reports) or len(reports) == BATCH
            elif self._stopping.is_set():
                return
            else:
                is_behind = False

    def _take(self) -> Sequence[Report]:
        """What has been reported, in its order; nothing, where nothing was for a while."""
        taken: list[Report] = []
        with suppress(queue.Empty):
            taken.append(self._reports.get(timeout=POLL_SECONDS))
            self._stopping.wait(GATHER_SECONDS)
            while len(taken) < BATCH:
                taken.append(self._reports.get_nowait())
        return taken

    def _persist_together(self, reports: Sequence[Report]) -> bool:
        """Write reports; whether it went well at once."""
        try:
            with self._switchboard.together():
                for report in reports:
                    self._switchboard.record(report)
            return True
        except Exception:  # noqa: BLE001 - which of them is to blame is yet to be seen
            logger.info("%d reports are written one by one", len(reports))
            for report in reports:
                self._persist(report)
            return False

    def _persist(self, report: Report) -> None:
        while True:
            try:
                self._switchboard.record(report)
                return
            except NotFound:
                logger.warning(
                    "a report names a call that does not exist", extra=about(report.call_id)
                )
                return
            except Busy as error:
                logger.warning("reports are still to be written: %s", error.message)
            except Exception:
                logger.exception("a report could not be written", extra=about(report.call_id))
            if self._stopping.wait(SWEEP_SECONDS):
                logger.error("giving up on it: the process is ending")
                return

    def _sweep(self) -> None:
        board = self._switchboard
        sweeps: list[Callable[[], None]] = [
            partial(Switchboard.sweep, board),
            partial(attendance.sweep, board),
        ]
        if self._timekeeper is not None:
            sweeps.insert(0, self._timekeeper.follow)
        for sweep in sweeps:
            try:
                sweep()
            except Busy as error:
                logger.warning("the deadlines are still to be looked at: %s", error.message)
            except Exception:
                logger.exception("the deadlines could not be looked at")
