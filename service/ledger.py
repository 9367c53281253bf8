"""The ledger: the one thread that writes down what the engine reports, and watches the deadlines.

It may block on the database, which nothing on the 20 ms path waits for. A report that cannot be
written is tried again until it can, so that a database that is away for a while loses nothing.
"""

from __future__ import annotations

import logging
import queue
import threading

from service import attendance
from service.calls import Switchboard
from service.errors import NotFound
from service.media.reports import Report

logger = logging.getLogger(__name__)

SWEEP_SECONDS = 1.0
"""Between two looks at the deadlines; also the wait before a failed write is tried again."""

POLL_SECONDS = 0.25
"""How long the thread waits for a report before it looks whether it should end."""

FINISH_SECONDS = 5.0
"""How long ``stop`` waits for what is still to be written."""


class Ledger:
    """Thread-safe. The thread is started once, after any fork."""

    def __init__(self, switchboard: Switchboard, reports: queue.SimpleQueue[Report]) -> None:
        self._switchboard = switchboard
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
                self._switchboard.take_over()
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
        while True:
            if clock.monotonic() >= next_sweep:
                next_sweep = clock.monotonic() + SWEEP_SECONDS
                self._sweep()
            try:
                self._persist(self._reports.get(timeout=POLL_SECONDS))
            except queue.Empty:
                if self._stopping.is_set():
                    return

    def _persist(self, report: Report) -> None:
        while True:
            try:
                self._switchboard.record(report)
                return
            except NotFound:
                logger.warning("a report names call %s, which does not exist", report.call_id)
                return
            except Exception:
                logger.exception("a report of call %s could not be written", report.call_id)
            if self._stopping.wait(SWEEP_SECONDS):
                logger.error("giving up on it: the process is ending")
                return

    def _sweep(self) -> None:
        for sweep in (Switchboard.sweep, attendance.sweep):
            try:
                sweep(self._switchboard)
            except Exception:
                logger.exception("the deadlines could not be looked at")
