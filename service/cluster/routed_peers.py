"""Requests to all other nodes: of this machine over Unix sockets, of other machines over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeAlias

from service.cluster.directory import Directory
from service.cluster.messages import GetNode, Message
from service.cluster.peers import ANSWER_SECONDS, Peers, Unanswered
from service.cluster.remote_peers import RemotePeers
from service.errors import ServiceError


@dataclass(frozen=True, slots=True)
class RoutedPeers:
    """Thread-safe."""

    near: Peers
    far: RemotePeers
    directory: Directory

    def ids(self) -> list[str]:
        """Return all other nodes."""
        return [*self.near.siblings(), *self.elsewhere()]

    def elsewhere(self) -> list[str]:
        """Return the nodes of other machines that are up."""
        return self.directory.elsewhere()

    def siblings(self) -> list[str]:
        """Return the other nodes of this machine."""
        return self.near.siblings()

    def ask(
        self,
        node_id: str,
        message: Message,
        descriptor: int | None = None,
        seconds: float = ANSWER_SECONDS,
    ) -> Any:
        """Send a message to a node, and return the value of its answer. Raises ``Unanswered``."""
        if self._is_here(node_id):
            return self.near.ask(node_id, message, descriptor, seconds)
        if descriptor is not None:
            raise Unanswered(f"Node {node_id} is on another machine, and gets no open socket.")
        return self.far.ask(node_id, message, seconds)

    def ask_all(
        self, messages: Mapping[str, Message], seconds: float = ANSWER_SECONDS
    ) -> Mapping[str, Any]:
        """Send each node its message, all before the first answer. Return the values that came."""
        here: dict[str, Message] = {}
        elsewhere: dict[str, Message] = {}
        for node_id, message in messages.items():
            with suppress(Unanswered):
                (here if self._is_here(node_id) else elsewhere)[node_id] = message
        answers = self.far.begin(elsewhere, seconds)
        return {**self.near.ask_all(here, seconds), **answers()}

    def is_silent(self, node_id: str) -> bool:
        """Return whether the node did not answer a moment ago."""
        return self.near.is_silent(node_id) or self.far.is_silent(node_id)

    def is_unreachable(self, node_id: str) -> bool:
        """Return whether the node does not answer. A node of another machine is asked first.

        The others see at once that a process of their machine has ended. The end of one elsewhere
        is only known when its heartbeats are missing for seconds, or by asking.
        """
        with suppress(Unanswered):
            if not self.is_silent(node_id) and not self._is_here(node_id):
                self.far.ask(node_id, GetNode())
        return self.is_silent(node_id)

    def close(self) -> None:
        self.near.close()
        self.far.close()

    def _is_here(self, node_id: str) -> bool:
        if self.near.has(node_id):
            return True
        try:
            return self.directory.is_here(node_id)
        except ServiceError as error:
            raise Unanswered(f"The machine of node {node_id} is not known: {error}") from None


AnyPeers: TypeAlias = Peers | RoutedPeers
"""``Peers`` where this machine is the only one."""
