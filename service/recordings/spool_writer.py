"""Spool writer: a thread that appends the tap's blocks to the spools.

The engine hands blocks over and never waits: beyond ``QUEUE_BYTES`` a block is not taken. An error
of the disk is a result, ``SpoolFailed``, and concerns the track whose record could not be written.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from service.media.rooms.tap import Block
from service.process.background import BackgroundThread
from service.recordings.spool_folder import SpoolFolder, SpoolSpan
from service.recordings.spool_format import Record

logger = logging.getLogger(__name__)

QUEUE_BYTES = 32 * 1024 * 1024
"""Audio that waits for the disk: 20 s of 200 telephone calls."""


@dataclass(frozen=True, slots=True)
class SpoolFailed:
    """A record of the track could not be written, and nothing is written after it."""

    track_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class SpoolFinished:
    """The spool is complete and on the disk, or ends where it failed."""

    track_id: str
    span: SpoolSpan


SpoolResult: TypeAlias = SpoolFailed | SpoolFinished


class SpoolWriter(BackgroundThread):
    """Thread-safe. ``report`` is called by this thread. Each track's spool must have been opened.

    A ``SpoolFailed`` is reported once for a track, and a ``SpoolFinished`` for each ``finish``.
    """

    def __init__(
        self,
        folder: SpoolFolder,
        report: Callable[[SpoolResult], None],
        capacity: int = QUEUE_BYTES,
    ) -> None:
        super().__init__("spool-writer")
        self._folder = folder
        self._report = report
        self._capacity = capacity
        self._queue: queue.SimpleQueue[Block | str | None] = queue.SimpleQueue()
        self._counting = threading.Lock()
        self._waiting = 0
        self._failed: set[str] = set()

    def take(self, block: Block) -> bool:
        """Queue a block. Returns false if the queue is full."""
        size = block.codes.nbytes
        with self._counting:
            if self._waiting + size > self._capacity:
                return False
            self._waiting += size
        self._queue.put(block)
        return True

    def finish(self, track_id: str) -> None:
        """Report the track's spool after the blocks that were queued before."""
        self._queue.put(track_id)

    def stop(self, seconds: float | None = None) -> None:
        """Write all that is queued, and end the thread."""
        self._queue.put(None)
        super().stop(seconds)

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            if isinstance(item, str):
                self._finish(item)
                continue
            self._write(item)
            with self._counting:
                self._waiting -= item.codes.nbytes

    def _write(self, block: Block) -> None:
        for part, (track_id, _) in enumerate(block.parts):
            if track_id not in self._failed:
                tick, payload = block.payload(part)
                try:
                    self._folder.append(track_id, Record(tick, block.encoding, payload))
                except Exception as error:  # noqa: BLE001 - of one track, and each is reported
                    self._fail(track_id, error)

    def _finish(self, track_id: str) -> None:
        span = SpoolSpan(0, 0, 0)
        try:
            self._folder.sync(track_id)
            span = self._folder.span(track_id)
        except Exception as error:  # noqa: BLE001
            if track_id not in self._failed:
                self._fail(track_id, error)
        self._failed.discard(track_id)
        self._tell(SpoolFinished(track_id, span))

    def _fail(self, track_id: str, error: Exception) -> None:
        self._failed.add(track_id)
        reason = error.strerror if isinstance(error, OSError) else None
        reason = reason or type(error).__name__
        logger.error("the spool of a recording ends: %s", reason, extra={"recording": track_id})
        self._tell(SpoolFailed(track_id, reason))

    def _tell(self, result: SpoolResult) -> None:
        try:
            self._report(result)
        except Exception:
            logger.exception("the result of a spool was not taken")
