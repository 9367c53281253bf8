"""The keeper: sends the heartbeats of this node, and looks after the nodes beside it.

It takes over the calls of nodes that are gone. It hands back the calls of this node that another
one has taken over, for instance after a stall: their sockets are closed, and their providers ask
again. A node that was gone for the others may not know, because only its connection to the database
is broken. So it is told which of its calls were taken over.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator

from service.clock import Clock
from service.cluster.directory import Directory
from service.domain.nodes import RENEW_SECONDS
from service.errors import Busy
from service.media.engine.engine import Engine
from service.storage.calls.orphans import Takeover
from service.storage.cluster.nodes import Nodes
from service.storage.cluster.room_leases import RoomLeases

logger = logging.getLogger(__name__)

ELSEWHERE = "The room is on another server"
"""Text of the close frame of a socket that is handed back."""

CLOSE_SECONDS = 2.0
"""Seconds for which ``close`` waits for the thread to remove this node."""


class Keeper:
    """Thread-safe. ``lost`` is called when another machine has taken the database.

    ``tell_lost`` is called with another node and its calls that were taken over while its process
    was not seen to end. It does not wait.
    """

    def __init__(
        self,
        clock: Clock,
        nodes: Nodes,
        leases: RoomLeases | None,
        engine: Engine,
        lost: Callable[[], None],
        tell_lost: Callable[[str, tuple[str, ...]], object] = lambda node_id, call_ids: None,
        interval: float = RENEW_SECONDS,
        directory: Directory | None = None,
    ) -> None:
        """``leases`` is ``None`` where this node is the only one. ``interval`` is the time between
        heartbeats in seconds.
        """
        self._clock = clock
        self._nodes = nodes
        self._leases = leases
        self._engine = engine
        self._lost = lost
        self._tell_lost = tell_lost
        self._interval = interval
        self._directory = directory
        self._lock = threading.Lock()
        self._due = threading.Event()
        self._drains = False
        self._is_released = False
        self._is_closed = False
        self._thread: threading.Thread | None = None
        self.holds = False
        """Whether this node serves, and has not released the database."""

    def join(self) -> bool:
        """Register this node, unless it is registered or was released, and begin to beat.

        Returns false where another machine has the database. Raises ``Busy``, also where this node
        cannot serve beside others.
        """
        with self._lock:
            if not self.holds and not self._is_released and self._nodes.register():
                self._look()
                self.holds = True
                self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)
                self._thread.start()
            return self.holds

    def take_over(self) -> None:
        """Take over all calls that no node has, at the start of this one."""
        taken = self._nodes.take_over(self._clock.now(), has_started=True)
        if taken.attached:
            logger.warning("%d calls have lost their sockets to a restart", taken.attached)
        self._tell(taken)

    def drain(self) -> None:
        """Have no more calls placed on this node. Raises ``Busy``."""
        self._drains = True
        self._nodes.drain()

    def release(self) -> None:
        """Drain, and leave the database to the next machine where this node is the last of its
        own. Does not wait.
        """
        with self._lock:
            self._drains = self._is_released = True
            self.holds = False
        self._due.set()

    def close(self) -> None:
        """Remove this node, and wait up to ``CLOSE_SECONDS`` for it."""
        self.release()
        self._is_closed = True
        self._due.set()
        if self._thread is not None:
            self._thread.join(CLOSE_SECONDS)

    @property
    def is_alive(self) -> bool:
        return self._thread is None or self._thread.is_alive() or not self.holds

    def _run(self) -> None:
        was_released = False
        while not self._is_closed:
            self._due.wait(self._interval)
            self._due.clear()
            if self._is_released and not was_released:
                was_released = self._try("the database is not released", self._nodes.release)
            elif not self._try("the heartbeat of this node failed", self._keep):
                continue
            if not self.holds and not self._is_released:
                self._lost()
                return
        if not was_released:
            self._try("the database is not released", self._nodes.release)
        self._try("this node is not removed", lambda: self._nodes.leave(self._clock.now()))

    def _try(self, failure: str, act: Callable[[], object]) -> bool:
        try:
            act()
        except Busy as error:
            # Nobody can take anything over either, and the database logs its outage.
            logger.debug("%s: %s", failure, error.message)
            return False
        except Exception:
            logger.exception("%s", failure)
            return False
        return True

    def _keep(self) -> None:
        if not self._nodes.beat(renews=not self._drains) and not self._drains:
            logger.warning("this node was gone for the others")
            if not self._nodes.register():
                logger.error("another server has taken this database: this one ends")
                self.holds = False
                return
        self._look()
        if self._drains:
            return
        if self._nodes.sees_gone():
            taken = self._nodes.take_over(self._clock.now())
            logger.warning(
                "%d calls of a node that is gone have lost their sockets", taken.attached
            )
            self._tell(taken)
        if self._leases is not None:
            for call_id in self._foreign(self._leases):
                self._engine.hand_back(call_id, ELSEWHERE)
            self._leases.release_idle()

    def _look(self) -> None:
        if self._directory is not None and self._directory.is_shared:
            self._directory.update(self._nodes.fresh())

    def _tell(self, taken: Takeover) -> None:
        for node_id, call_ids in taken.silent.items():
            self._tell_lost(node_id, tuple(call_ids))

    def _foreign(self, leases: RoomLeases) -> Iterator[str]:
        """Yield the calls that have a socket here, and whose room another node has."""
        try:
            legs = self._engine.legs()
        except TimeoutError:
            logger.warning("the media engine does not say which calls it has")
            return
        if not legs:
            return
        lost = leases.lost({leg.room_id for leg in legs})
        for leg in legs:
            if leg.room_id in lost:
                logger.warning("a call is handed back", extra=leg.fields)
                yield leg.call_id
