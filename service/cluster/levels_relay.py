"""Levels of the other nodes' calls, fetched for the live feed while it has readers.

Nothing runs and no message is sent while no page is open. Each fetch asks the nodes that listen
then.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from service.cluster.codec import Malformed, unpack
from service.cluster.messages import GetLevels, NodeLevels
from service.cluster.routed_peers import AnyPeers
from service.media.engine.engine import Engine
from service.media.engine.live_feed import LEVELS_SECONDS
from service.process.background import BackgroundThread


class LevelsRelay(BackgroundThread):
    """``announce`` tells the readers that stored calls of another node have changed."""

    def __init__(self, engine: Engine, peers: AnyPeers, announce: Callable[[], object]) -> None:
        self.watched = threading.Event()
        super().__init__("levels", self.watched)
        self._engine = engine
        self._peers = peers
        self._announce = announce
        self._changes: dict[str, int] = {}

    def _run(self) -> None:
        while True:
            self.watched.wait()
            self.watched.clear()
            if self._stopping.is_set():
                return
            while self.fetch():
                if self._stopping.wait(LEVELS_SECONDS):
                    return

    def fetch(self) -> bool:
        """Fetch the levels of all other nodes once, and give them to the live feed.

        Returns whether the feed has readers.
        """
        calls: dict[str, Any] = {}
        changes: dict[str, int] = {}
        for node_id, answer in self._peers.ask_all(
            {node_id: GetLevels() for node_id in self._peers.ids()}
        ).items():
            try:
                levels = unpack(NodeLevels, answer)
            except Malformed:
                continue
            calls.update(levels.calls)
            changes[node_id] = levels.changes
        if changes != self._changes:
            self._changes = changes
            self._announce()
        with suppress(TimeoutError):
            return self._engine.show(calls)
        return True
