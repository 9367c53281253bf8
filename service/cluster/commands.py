"""Commands and hints to all other nodes, in threads of their own, so that no caller waits.

Commands to other machines have a separate thread: a machine that does not answer must not delay a
socket that is passed within this one. Hints to other machines are sent at a bounded rate, because
every node sends them to every other one.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable

from service.cluster.command_sender import CommandSender, Job
from service.cluster.messages import ChangeHint, Message
from service.cluster.peers import Peers
from service.cluster.routed_peers import RoutedPeers
from service.process.background import BackgroundThread

HINT_SECONDS = 0.02
"""Seconds between two hints to other machines, for each node there. So a node sends fifty a second
at most, and gets about as many."""


class Hints(BackgroundThread):
    """Hints to the nodes of other machines. Those that wait become one message."""

    def __init__(self, peers: RoutedPeers) -> None:
        self._due = threading.Event()
        super().__init__("hints", self._due)
        self._peers = peers
        self._lock = threading.Lock()
        self._signals: set[str] = set()
        self._calls: set[str] = set()

    def add(self, signals: Iterable[str], calls: Iterable[str]) -> None:
        with self._lock:
            self._signals.update(signals)
            self._calls.update(calls)
        self._due.set()

    def _run(self) -> None:
        while True:
            self._due.wait()
            self._due.clear()
            if self._stopping.is_set():
                return
            nodes = list(self._peers.elsewhere())
            with self._lock:
                hint = ChangeHint(tuple(self._signals), tuple(self._calls))
                self._signals.clear()
                self._calls.clear()
            self._peers.ask_all(dict.fromkeys(nodes, hint))
            self._stopping.wait(len(nodes) * HINT_SECONDS)


class Commands:
    """Thread-safe."""

    def __init__(self, near: Peers, routed: RoutedPeers | None) -> None:
        """``routed`` is ``None`` where this machine is the only one."""
        self._routed = routed
        self._near = CommandSender("commands", near)
        self._far = None if routed is None else CommandSender("far-commands", routed)
        self._hints = None if routed is None else Hints(routed)

    def submit(self, job: Job) -> None:
        """Run a job in the thread of this machine's commands. It may wait for a node here."""
        self._near.submit(job)

    def send(self, node_ids: Iterable[str], message: Message) -> None:
        """Send a message to these nodes."""
        if self._routed is None or self._far is None:
            self._near.send(node_ids, message)
            return
        nodes = list(node_ids)
        here = [node_id for node_id in nodes if self._routed.near.has(node_id)]
        self._near.send(here, message)
        self._far.send([node_id for node_id in nodes if node_id not in here], message)

    def hint(self, signals: Iterable[str] = (), calls: Iterable[str] = ()) -> None:
        """Tell all nodes that there may be new rows."""
        signals, calls = tuple(signals), tuple(calls)
        self._near.hint(signals, calls)
        if self._hints is not None:
            self._hints.add(signals, calls)

    def start(self) -> None:
        for thread in self._threads():
            thread.start()

    def stop(self, seconds: float) -> None:
        """Send the commands that wait, ``seconds`` at most for each thread."""
        for thread in self._threads():
            thread.stop(seconds)

    @property
    def is_alive(self) -> bool:
        return all(thread.is_alive for thread in self._threads())

    def _threads(self) -> Iterable[BackgroundThread]:
        return filter(None, (self._near, self._far, self._hints))
