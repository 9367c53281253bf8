"""The node of this process: the parts by which it shares the calls of all nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from service.clock import Clock
from service.cluster.commands import Commands
from service.cluster.directory import Directory
from service.cluster.handler import MessageHandler
from service.cluster.keeper import ELSEWHERE
from service.cluster.levels_relay import LevelsRelay
from service.cluster.listener import Listener
from service.cluster.media import ClusterMedia, NodeOf
from service.cluster.messages import CallHeld, ReleaseCalls
from service.cluster.node_client import NodeClient
from service.cluster.passing import Passing
from service.cluster.peers import Peers
from service.cluster.remote_peers import RemotePeers
from service.cluster.remote_requests import RemoteRequests
from service.cluster.routed_peers import RoutedPeers
from service.cluster.spec_codec import SpecCodec
from service.cluster.worker_values import Workers
from service.http_client.client import HttpClient
from service.media.engine.engine import Engine
from service.providers.base.provider import Provider
from service.security.node_tokens import NodeTokens
from service.simulator.simulated_calls import SimulatedCalls
from service.telemetry.logs import Troubles

STOP_SECONDS = 2.0
"""Seconds for which ``stop`` waits for the queued commands."""

MOST_KEPT = 256
"""Idle connections to other machines that are kept."""

MOST_LOST = 1000
"""Calls in one message, which is limited to 64 KiB."""


class LocalNode:
    """Thread-safe. ``media`` and ``workers`` are for use cases, ``hint`` for their signals.

    ``is_silent`` tells whether another node does not answer; one of another machine is asked. The
    HTTP route uses ``remote_requests``, which is ``None`` where this machine is the only one.
    """

    def __init__(
        self,
        folder: Path,
        node_id: str,
        directory: Directory,
        api_secret: str,
        node_of: NodeOf,
        clock: Clock,
        wall: Clock,
        engine: Engine,
        simulated_calls: SimulatedCalls,
        troubles: Troubles,
        providers: Mapping[str, Provider],
        hinted: Callable[[Iterable[str], Iterable[str]], object],
        held: Callable[[str], object],
        refused: Callable[[], object],
    ) -> None:
        """``hinted`` is called with the signals and the calls of another node's hint, ``held`` with
        a call that another node has told to hold, and ``refused`` for each message that is refused.
        ``wall`` is the machine's clock.
        """
        near = Peers(folder, node_id)
        routed = None
        if directory.is_shared:
            http = HttpClient(clock, most_kept=MOST_KEPT)
            client = NodeClient(api_secret, node_id, wall, http)
            routed = RoutedPeers(near, RemotePeers(client, directory.url_of), directory)
        self._routed = routed
        self._peers = near if routed is None else routed
        self._commands = Commands(near, routed)
        specs = SpecCodec(providers)
        passing = Passing(clock, engine, self._peers, specs)
        self._relay = LevelsRelay(engine, self._peers, engine.announce)
        self.media = ClusterMedia(
            node_id,
            node_of,
            engine,
            self._peers,
            self._commands,
            passing,
            self._relay.watched.set,
            is_here=(lambda _: True) if routed is None else near.has,
        )
        self.workers = Workers(node_id, engine, simulated_calls, troubles, self._peers)
        handler = MessageHandler(
            node_id,
            wall,
            engine,
            simulated_calls,
            troubles,
            specs,
            self.media.place,
            hinted,
            held,
            lambda: self.media.changes,
        )
        self.listener = Listener(folder, node_id, handler.handle, refused)
        self.remote_requests = None
        if routed is not None:
            tokens = NodeTokens(api_secret)
            self.remote_requests = RemoteRequests(node_id, handler.handle, near, tokens, wall)
        self.hint = self._commands.hint
        self.is_silent = near.is_silent if routed is None else routed.is_unreachable

    def start(self) -> None:
        """Start the threads, after any fork. From now on other nodes find this one."""
        self._commands.start()
        self._relay.start()
        self.listener.start()

    def tell_lost(self, node_id: str, call_ids: tuple[str, ...]) -> None:
        """Tell another node, without waiting, that these of its calls were taken over."""
        for first in range(0, len(call_ids), MOST_LOST):
            some = call_ids[first : first + MOST_LOST]
            self._commands.send([node_id], ReleaseCalls(some, ELSEWHERE))

    def tell_held(self, call_id: str) -> None:
        """Tell other machines, without waiting, that this call was told to hold."""
        if self._routed is not None:
            self._commands.send(self._routed.elsewhere(), CallHeld(call_id))

    def stop(self) -> None:
        """Remove the node's address, send the commands that wait, and end the threads."""
        self.listener.stop()
        self._relay.stop(STOP_SECONDS)
        self._commands.stop(STOP_SECONDS)
        self._peers.close()

    @property
    def is_alive(self) -> bool:
        return self.listener.is_alive and self._commands.is_alive and self._relay.is_alive
