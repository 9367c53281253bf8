"""Requests to nodes of other machines, at their addresses.

The nodes of one machine are asked one after the other over one connection, and the machines at
once, in a bounded number of threads. A node that cannot be reached is not asked again for a moment.
The first failure of a kind is logged, and the next one of that kind only after an answer.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from time import monotonic
from typing import Any

from service.cluster.messages import Message
from service.cluster.node_client import NodeClient, Unreached
from service.cluster.peers import ANSWER_SECONDS, REST_SECONDS, Unanswered
from service.errors import ServiceError
from service.process import turns

logger = logging.getLogger(__name__)

AT_ONCE = 32
"""Machines that are asked at once."""

LEAST_SECONDS = 0.25
"""With less time left a node is not asked, because its silence would not mean that it is gone."""

MOST_KNOWN = 1000
"""Nodes whose failures are remembered."""

UrlOf = Callable[[str], str | None]
"""Return the address of a node's machine; ``None`` where it is not known."""

Answers = Callable[[], Mapping[str, Any]]
"""Wait for the answers, and return the values that came in time."""


class RemotePeers:
    """Thread-safe."""

    def __init__(
        self, client: NodeClient, url_of: UrlOf, clock: Callable[[], float] = monotonic
    ) -> None:
        self._client = client
        self._url_of = url_of
        self._clock = clock
        self._rests_until: dict[str, float] = {}
        self._told: dict[str, set[tuple[object, ...]]] = {}
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="nodes")

    def ask(self, node_id: str, message: Message, seconds: float = ANSWER_SECONDS) -> Any:
        """Send a message to a node, and return the value of its answer. Raises ``Unanswered``."""
        return self._ask(self._address(node_id), node_id, message, monotonic() + seconds)

    def begin(self, messages: Mapping[str, Message], seconds: float = ANSWER_SECONDS) -> Answers:
        """Begin to send each node its message. The returned function waits for the answers."""
        deadline = monotonic() + seconds
        machines: defaultdict[str, dict[str, Message]] = defaultdict(dict)
        for node_id, message in messages.items():
            try:
                machines[self._address(node_id)][node_id] = message
            except Unanswered as error:
                logger.debug("%s", error)
        asked: list[Future[Mapping[str, Any]]] = []
        with suppress(RuntimeError):  # It is closed.
            for url, each in machines.items():
                asked.append(self._threads.submit(self._ask_machine, url, each, deadline))
        return lambda: _collected(asked)

    def is_silent(self, node_id: str) -> bool:
        """Return whether the node could not be reached a moment ago."""
        return self._rests_until.get(node_id, 0.0) > self._clock()

    def close(self) -> None:
        """End the threads, without waiting for requests that run."""
        self._threads.shutdown(wait=False)
        self._client.close()

    def _address(self, node_id: str) -> str:
        try:
            url = self._url_of(node_id)
        except ServiceError as error:
            raise Unanswered(f"The address of node {node_id} is not known: {error}") from None
        if url is None:
            raise Unanswered(f"Node {node_id} has no NODE_URL.")
        return url

    def _ask_machine(
        self, url: str, messages: Mapping[str, Message], deadline: float
    ) -> Mapping[str, Any]:
        answers: dict[str, Any] = {}
        for node_id, message in messages.items():
            try:
                answers[node_id] = self._ask(url, node_id, message, deadline)
            except Unanswered as error:
                logger.debug("%s", error)
        return answers

    def _ask(self, url: str, node_id: str, message: Message, deadline: float) -> Any:
        if self.is_silent(node_id):
            raise Unanswered(f"Node {node_id} did not answer a moment ago.")
        left = deadline - monotonic()
        if left < LEAST_SECONDS:
            raise Unanswered(f"There was no time to ask node {node_id}.")
        try:
            value = self._client.ask(url, node_id, message, left)
        except Unreached as error:
            self._failed(node_id, error)
            raise
        if self._told.pop(node_id, None):
            logger.info("node %s answers again", node_id)
        return value

    def _failed(self, node_id: str, error: Unreached) -> None:
        if not error.is_there:
            if len(self._rests_until) >= MOST_KNOWN:
                self._rests_until.clear()
            self._rests_until[node_id] = self._clock() + REST_SECONDS
        # Not the sentence, which may contain a number of seconds.
        kind = (error.status, error.is_there, type(error.cause))
        if kind not in self._told.get(node_id, ()):
            if len(self._told) >= MOST_KNOWN:
                self._told.clear()
            self._told.setdefault(node_id, set()).add(kind)
            logger.warning("%s", error)


def _collected(asked: list[Future[Mapping[str, Any]]]) -> Mapping[str, Any]:
    """Return the answers of all machines. Each request ends by its deadline."""
    with turns.waiting():
        return {node_id: value for each in asked for node_id, value in each.result().items()}
