"""Standard output and error that never block the process, even without a reader.

Each has a thread that writes queued lines: when the reader stops, only that thread waits.
Beyond ``MOST_LINES`` the newest lines are dropped and counted, and a warning tells how many once
there is room again. Threads start on first use and end before a fork.
"""

from __future__ import annotations

import atexit
import io
import logging
import os
import queue
import select
import sys
import threading
from typing import Any, Protocol

logger = logging.getLogger(__name__)

MOST_LINES = 2000

EXIT_SECONDS = 1.0
"""Seconds for which the end of the process waits for the reader."""

FORK_SECONDS = 0.5
"""Seconds for which a fork waits for the reader: the child would inherit a half-written line."""

TOGETHER = select.PIPE_BUF // 2
"""Bytes after which a write takes no further line. A pipe takes up to twice this size atomically,
so that no other writer interrupts a line."""


class TextStream(Protocol):
    """A text stream that has a descriptor."""

    def write(self, text: str, /) -> object: ...
    def flush(self) -> object: ...
    def fileno(self) -> int: ...


class Dropping(Protocol):
    dropped: int


class QueuedWriter(io.RawIOBase):
    """A descriptor that is written by a thread. ``write`` returns at once. Thread-safe."""

    def __init__(self, number: int, most: int = MOST_LINES) -> None:
        super().__init__()
        self.dropped = 0
        self._number = number
        self._most = most
        # Reentrant, because a signal handler may log while its thread does.
        self._lock = threading.RLock()
        self._queue: queue.SimpleQueue[bytes | threading.Event | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._reported = 0
        self._is_ending = False

    @property
    def name(self) -> int:
        return self._number

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._number

    def isatty(self) -> bool:
        return os.isatty(self._number)

    def write(self, data: Any) -> int:
        line = bytes(data)
        if self._is_ending:
            self._write_if_possible(line)
            return len(line)
        is_own = threading.current_thread() is self._thread
        if self._queue.qsize() >= self._most and not is_own:
            with self._lock:
                self.dropped += 1
            return len(line)
        self._queue.put(line)
        if not is_own:
            self._start()
        return len(line)

    def drain(self, seconds: float) -> bool:
        """Wait until all queued lines are written. Returns whether they are."""
        if self._thread is None or not self._thread.is_alive():
            return self._queue.empty()
        written = threading.Event()
        self._queue.put(written)
        return written.wait(seconds)

    def end(self) -> None:
        """Write the queued lines within ``EXIT_SECONDS``, and later lines only without waiting."""
        self.drain(EXIT_SECONDS)
        self._is_ending = True

    def before_fork(self) -> None:
        """End the thread, unless it waits for the reader. The next line starts another one."""
        thread = self._thread
        if thread is not None and thread.is_alive():
            self._queue.put(None)
            thread.join(FORK_SECONDS)

    def after_fork(self) -> None:
        """Reset in the child. The parent writes the queued lines."""
        self._lock = threading.RLock()
        self._queue = queue.SimpleQueue()
        self._thread = None
        self.dropped = self._reported = 0

    def _start(self) -> None:
        if self._thread is not None and self._thread.is_alive():
            return
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="log", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            lines, then = self._taken()
            if lines:
                self._write_all(lines)
                self._report()
            if isinstance(then, threading.Event):
                then.set()
            elif then is None:
                return

    def _taken(self) -> tuple[list[bytes], threading.Event | bytes | None]:
        """Return lines to write together, and the next item; ``None`` ends the thread.

        Single lines are too slow while other threads run, because each write releases the GIL and
        waits for it again.
        """
        lines, size = [], 0
        item = self._queue.get()
        while isinstance(item, bytes):
            lines.append(item)
            size += len(item)
            if size >= TOGETHER or self._queue.empty():
                return lines, b""
            item = self._queue.get()
        return lines, item

    def _report(self) -> None:
        if self.dropped > self._reported and self._queue.qsize() < self._most // 2:
            count, self._reported = self.dropped - self._reported, self.dropped
            logger.warning("%d lines of the log were dropped: nobody read it", count)

    def _write_all(self, lines: list[bytes]) -> None:
        """Write lines without a timeout."""
        rest = memoryview(b"".join(lines))
        while rest:
            try:
                rest = rest[os.write(self._number, rest) :]
            except BlockingIOError:
                select.select([], [self._number], [])
            except OSError:
                # The reader has closed the pipe.
                with self._lock:
                    self.dropped += len(lines)
                    self._reported += len(lines)
                return

    def _write_if_possible(self, line: bytes) -> None:
        try:
            if select.select([], [self._number], [], 0)[1]:
                # A pipe that is ready takes as much as this without blocking.
                os.write(self._number, line[: select.PIPE_BUF])
        except (OSError, ValueError):
            return


_all: list[Dropping] = []
_kept: list[TextStream] = []
"""Replaced streams. Without a reference they would close their descriptors."""


def install() -> None:
    """Queue the standard output and error of this process and of its children."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        try:
            stream.fileno()
        except (AttributeError, OSError, ValueError):
            # The stream is missing, or a test has replaced it.
            continue
        if not is_queued(stream):
            setattr(sys, name, queued(stream))


def is_queued(stream: TextStream) -> bool:
    return isinstance(getattr(stream, "buffer", None), QueuedWriter)


def queued(stream: TextStream) -> io.TextIOWrapper:
    """Return a stream that writes to the same descriptor in a thread."""
    stream.flush()
    writer = QueuedWriter(stream.fileno())
    _kept.append(stream)
    count(writer)
    atexit.register(writer.end)
    os.register_at_fork(before=writer.before_fork, after_in_child=writer.after_fork)
    return io.TextIOWrapper(
        writer,
        encoding=getattr(stream, "encoding", None),
        errors="backslashreplace",
        write_through=True,
    )


def count(dropping: Dropping) -> None:
    """Include a handler's dropped lines in ``dropped``."""
    _all.append(dropping)


def dropped() -> int:
    """Return how many lines this process has dropped."""
    return sum(each.dropped for each in _all)
