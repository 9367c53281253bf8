"""Nodes of one machine in one process: real engines and Unix sockets, in a folder of their own."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import TypeVar

from service.clock import SystemClock
from service.cluster.directory import Directory
from service.cluster.local_node import LocalNode
from service.errors import Busy
from service.media.engine.engine import Engine
from service.media.rooms.reports import Report
from service.providers import load
from service.simulator.simulated_calls import SimulatedCalls
from service.telemetry.logs import Troubles
from tests.support.callers import Caller
from tests.support.clients import PATIENCE, Client
from tests.support.clocks import FakeClock

R = TypeVar("R", bound=Report)


class RunningNode:
    """A node with its own engine. ``hints`` has the signals and calls of other nodes' hints,
    and ``held`` the calls that they have told to hold.

    ``homes`` are the nodes of calls. Without a ``directory`` there is one machine.
    """

    def __init__(
        self,
        folder: Path,
        node_id: str,
        homes: Mapping[str, str],
        directory: Directory | None = None,
    ) -> None:
        self.id = node_id
        self.held: SimpleQueue[str] = SimpleQueue()
        self.hints: SimpleQueue[tuple[set[str], set[str]]] = SimpleQueue()
        self.directory_fails = False
        self._homes = homes
        self.wall = FakeClock()
        self.engine = Engine(SystemClock())
        self.simulated_calls = SimulatedCalls(3)
        self.troubles = Troubles()
        self.node = LocalNode(
            folder,
            node_id,
            directory or Directory(folder.name),
            "secret",
            self._node_of,
            SystemClock(),
            self.wall,
            self.engine,
            self.simulated_calls,
            self.troubles,
            load(),
            self._hinted,
            self.held.put,
            lambda: None,
        )
        self.media = self.node.media
        self.workers = self.node.workers

    def adopt(self, client: Client, caller: Caller) -> None:
        """Adopt a client's socket, as the worker that did its handshake."""
        self.media.adopt(client.ours.dup(), caller.spec)
        client.ours.close()

    def stop(self) -> None:
        self.simulated_calls.stop()
        self.node.stop()
        self.engine.stop()

    def _node_of(self, call_ids: Iterable[str]) -> Mapping[str, str]:
        if self.directory_fails:
            raise Busy("The database is away.")
        return {each: self._homes[each] for each in call_ids if each in self._homes}

    def _hinted(self, signals: Iterable[str], calls: Iterable[str]) -> None:
        self.hints.put((set(signals), set(calls)))


def reported(node: RunningNode, kind: type[R]) -> R:
    """Return the next report of this kind; skip others."""
    while True:
        report = node.engine.reports.get(timeout=PATIENCE)
        if isinstance(report, kind):
            return report


@contextmanager
def private_folder() -> Iterator[Path]:
    """Yield a folder whose path is short enough for sockets, unlike those of pytest."""
    with tempfile.TemporaryDirectory(prefix="pb-", dir="/tmp") as folder:
        yield Path(folder)


def open_descriptors() -> set[str]:
    """Return what each open descriptor of this process refers to."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            found.add(f"{name} {os.readlink(f'/proc/self/fd/{name}')}")
        except FileNotFoundError:
            continue  # The descriptor of the listing itself.
    return found
