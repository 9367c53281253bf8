"""Slots that are given out in the order of the requests.

The pool of SQLAlchemy gives a connection to the thread that asks first after it was returned, which
is often the one that returned it. Under load others would wait until they time out, and one of them
sends the heartbeats of the node.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from service.errors import Contended
from service.process import turns
from service.storage.outage import CONTENDED


class FairSlots:
    """Thread-safe."""

    def __init__(self, count: int) -> None:
        self._lock = Lock()
        self._free = count
        # Locks that are held until their thread is given a slot.
        self._queue: deque[Lock] = deque()

    @property
    def waiting(self) -> int:
        """The number of threads that wait for a slot."""
        return len(self._queue)

    @contextmanager
    def slot(self, seconds: float) -> Iterator[None]:
        """Hold a slot in this block. Raises ``Contended`` if there is none within ``seconds``."""
        if not self._take(seconds):
            raise Contended(CONTENDED)
        try:
            yield
        finally:
            self._give_back()

    def _take(self, seconds: float) -> bool:
        with self._lock:
            if self._free:
                self._free -= 1
                return True
            turn = Lock()
            turn.acquire()
            self._queue.append(turn)
        with turns.waiting():
            if turn.acquire(timeout=seconds):
                return True
        with self._lock:
            if turn in self._queue:
                self._queue.remove(turn)
                return False
        # It was given at the last moment.
        return True

    def _give_back(self) -> None:
        with self._lock:
            if self._queue:
                self._queue.popleft().release()
            else:
                self._free += 1
