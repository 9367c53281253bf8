"""Turns: permission of a request to run, returned while its thread waits for I/O.

The server lets only a few requests run at a time, because each running thread competes for the GIL
and delays the media engine. A thread that waits for a database, a provider or an event does not. It
marks the wait with ``waiting``, and the server gives its turn to another request.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

GRACE = 0.002
"""Seconds. A shorter wait, as for most statements, is not worth another thread."""


class Turn:
    """Permission of one request to run. Its thread writes, the server's main thread reads."""

    def __init__(self) -> None:
        self.waiting_since: float | None = None

    def is_running(self, now: float) -> bool:
        since = self.waiting_since
        return since is None or now - since < GRACE


_local = threading.local()


@contextmanager
def taken(turn: Turn) -> Iterator[None]:
    """Let this thread act for ``turn``."""
    _local.turn = turn
    try:
        yield
    finally:
        _local.turn = None


@contextmanager
def waiting() -> Iterator[None]:
    """Mark this thread as waiting for I/O. Has no effect outside a request."""
    turn: Turn | None = getattr(_local, "turn", None)
    if turn is None or turn.waiting_since is not None:
        yield
        return
    begin()
    try:
        yield
    finally:
        end()


def begin() -> None:
    """Begin a wait, where ``waiting`` cannot be used as a context manager."""
    turn: Turn | None = getattr(_local, "turn", None)
    if turn is not None:
        turn.waiting_since = time.monotonic()


def end() -> None:
    """End a wait."""
    turn: Turn | None = getattr(_local, "turn", None)
    if turn is not None:
        turn.waiting_since = None
