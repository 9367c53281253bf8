"""Queues in front of an operator's log handlers, so that logging never blocks the process.

A handler that writes to a pipe or a terminal gets a stream with a queue. A handler that sends to a
log server is called by a thread. Handlers of regular files are left alone, because a file has no
reader that could stop.
"""

from __future__ import annotations

import atexit
import copy
import logging
import os
import queue
import stat
import threading
from logging.handlers import SocketHandler, SysLogHandler

from service.telemetry import log_output
from service.telemetry.log_output import EXIT_SECONDS, MOST_LINES


def unblock(log: logging.Logger) -> None:
    """Put queues before the handlers of a logger that could block, unless they have one."""
    for handler in log.handlers[:]:
        if isinstance(handler, logging.StreamHandler):
            _queue_stream(handler)
        elif isinstance(handler, (SysLogHandler, SocketHandler)):
            log.removeHandler(handler)
            log.addHandler(QueuedHandler(handler))


def _queue_stream(handler: logging.StreamHandler[log_output.TextStream]) -> None:
    stream = handler.stream
    try:
        is_file = stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
    except (AttributeError, OSError, ValueError):
        # A file that is opened with its first line, or a stream without a descriptor.
        return
    if not is_file and not log_output.is_queued(stream):
        handler.setStream(log_output.queued(stream))


class QueuedHandler(logging.Handler):
    """Call ``target`` in a thread. ``emit`` returns at once.

    The thread does not take the lock of ``target``: ``logging`` takes it at the end of the process,
    which must not wait for a log server.
    """

    def __init__(self, target: logging.Handler, most: int = MOST_LINES) -> None:
        super().__init__(target.level)
        self.dropped = 0
        self.formatter = target.formatter
        # gunicorn marks its handlers, and removes them when it reads its settings again.
        self._gunicorn = getattr(target, "_gunicorn", False)
        self._target = target
        self._most = most
        self._queue: queue.SimpleQueue[logging.LogRecord | threading.Event] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        log_output.count(self)
        atexit.register(self.drain, EXIT_SECONDS)
        os.register_at_fork(after_in_child=self._after_fork)

    def emit(self, record: logging.LogRecord) -> None:
        """Called within this handler's lock."""
        if self._queue.qsize() >= self._most:
            self.dropped += 1
            return
        # The arguments may change before the thread formats them.
        said = copy.copy(record)
        said.msg, said.args = record.getMessage(), None
        self._queue.put(said)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="log", daemon=True)
            self._thread.start()

    def drain(self, seconds: float) -> bool:
        """Wait until all queued records are sent. Returns whether they are."""
        sent = threading.Event()
        self._queue.put(sent)
        return self._thread is None or sent.wait(seconds)

    def close(self) -> None:
        self._target.close()
        super().close()

    def _run(self) -> None:
        while True:
            item = self._queue.get()
            if isinstance(item, threading.Event):
                item.set()
            elif self._target.filter(item):
                self._target.setFormatter(self.formatter)
                self._target.emit(item)

    def _after_fork(self) -> None:
        """Reset in the child. The parent sends the queued records."""
        self._queue = queue.SimpleQueue()
        self._thread = None
        self.dropped = 0
