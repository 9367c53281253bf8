"""Passing of open media sockets to the node of their room."""

from __future__ import annotations

import logging
import socket
from contextlib import suppress

from service.clock import Clock
from service.cluster.messages import AdoptSocket
from service.cluster.peers import Unanswered
from service.cluster.routed_peers import AnyPeers
from service.cluster.spec_codec import SpecCodec
from service.media.engine.engine import Engine
from service.media.rooms.leg import LegSpec
from service.media.rooms.leg_state import LegState
from service.media.rooms.reports import LegClosed

logger = logging.getLogger(__name__)


class Passing:
    """Thread-safe. May wait for another node, one second at most."""

    def __init__(self, clock: Clock, engine: Engine, peers: AnyPeers, specs: SpecCodec) -> None:
        self._clock = clock
        self._engine = engine
        self._peers = peers
        self._specs = specs

    def pass_on(
        self, node_id: str, sock: socket.socket, spec: LegSpec, state: LegState | None = None
    ) -> None:
        """Have a node adopt the socket. Where that fails the socket is closed, and the leg reported
        as lost, so that its provider asks again.
        """
        try:
            message = AdoptSocket(self._specs.encode(spec), state)
            self._peers.ask(node_id, message, sock.fileno())
        except Unanswered as error:
            self.fail(sock, spec, f"the socket could not be passed on: {error}", state)
        except Exception:
            self.fail(sock, spec, "the socket could not be passed on", state)
            raise
        else:
            logger.info("leg passed to node %s", node_id, extra=spec.fields)
            sock.close()

    def fail(
        self, sock: socket.socket, spec: LegSpec, detail: str, state: LegState | None = None
    ) -> None:
        """Close the connection, also for a node that adopts it too late, and report the end."""
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
        sock.close()
        logger.warning("%s", detail, extra=spec.fields)
        stats = {} if state is None else state.counters
        loudness = None if state is None else state.loudness
        now = self._clock.now()
        self._engine.reports.put(
            LegClosed(spec.call_id, spec.leg_id, None, detail, stats, now, loudness)
        )
