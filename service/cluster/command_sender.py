"""A thread that sends commands and hints to other nodes, so that no caller waits for one.

A command that is lost costs a second: every node compares its legs with the database.
"""

from __future__ import annotations

import logging
import queue
from collections.abc import Callable, Iterable
from functools import partial
from threading import Lock

from service.cluster.messages import ChangeHint, Message
from service.cluster.routed_peers import AnyPeers
from service.process.background import BackgroundThread

logger = logging.getLogger(__name__)

MOST_WAITING = 10_000
"""Commands that wait at most, while nodes do not answer. More are dropped."""

Job = Callable[[], object]


class CommandSender(BackgroundThread):
    """Thread-safe. Jobs run one after the other, in their order."""

    def __init__(self, name: str, peers: AnyPeers) -> None:
        super().__init__(name)
        self._peers = peers
        self._jobs: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self._lock = Lock()
        self._signals: set[str] = set()
        self._calls: set[str] = set()

    def submit(self, job: Job) -> None:
        """Run a job in the thread. It may wait for another node."""
        self._jobs.put(job)

    def send(self, node_ids: Iterable[str], message: Message) -> None:
        """Send a message to these nodes, to all at once."""
        messages = dict.fromkeys(node_ids, message)
        if messages and self._jobs.qsize() < MOST_WAITING:
            self._jobs.put(partial(self._peers.ask_all, messages))

    def hint(self, signals: Iterable[str] = (), calls: Iterable[str] = ()) -> None:
        """Tell the nodes of this machine that there may be new rows. Hints that wait become one
        message.
        """
        with self._lock:
            is_waiting = bool(self._signals or self._calls)
            self._signals.update(signals)
            self._calls.update(calls)
        if not is_waiting:
            self._jobs.put(self._send_hint)

    def stop(self, seconds: float | None = None) -> None:
        """Send what waits, and end the thread; wait for that, ``seconds`` at most."""
        self._stopping.set()
        self._jobs.put(lambda: None)  # Wakes the thread.
        super().stop(seconds)

    def _run(self) -> None:
        while not (self._stopping.is_set() and self._jobs.empty()):
            job = self._jobs.get()
            try:
                job()
            except Exception:
                logger.exception("a command to another node failed")

    def _send_hint(self) -> None:
        with self._lock:
            hint = ChangeHint(tuple(self._signals), tuple(self._calls))
            self._signals.clear()
            self._calls.clear()
        self._peers.ask_all(dict.fromkeys(self._peers.siblings(), hint))
