"""Requests to the other nodes of this machine, over connections that are used again.

A node that was killed leaves its address behind, which is removed by the first request that cannot
connect. A node that does not answer in time is not asked again for a moment, so that one stopped
process does not delay every request by a second.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any

from service.cluster import channel
from service.cluster.address import address, nodes
from service.cluster.channel import FrameReader
from service.cluster.codec import Malformed
from service.cluster.messages import Accepted, Message, decode_answer, encode
from service.process import turns

logger = logging.getLogger(__name__)

ANSWER_SECONDS = 1.0
"""Seconds that a node may take to answer."""

REST_SECONDS = 1.0
"""Seconds for which a node that did not answer in time is not asked again."""

LEAST_SECONDS = 0.001

MOST_IDLE = 4
"""Connections to one node that are kept for the next request."""


GONE = (EOFError, FileNotFoundError, ConnectionError)
"""Errors by which the process at the other end has ended."""


class Unanswered(Exception):
    """A node gave no answer, or refused. The text is one sentence."""


class Refusal(Unanswered):
    """A node has answered that it refuses. ``reason`` is its own sentence."""

    def __init__(self, node_id: str, reason: str) -> None:
        super().__init__(f"Node {node_id} refuses: {reason}")
        self.reason = reason


class PeerConnection:
    """One connection, which waits for at most one answer."""

    def __init__(self, path: str, deadline: float) -> None:
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._limit(deadline)
            self._sock.connect(path)
            if not channel.is_own_user(self._sock):
                raise ConnectionRefusedError("The node runs as another user.")
        except BaseException:
            self._sock.close()
            raise
        self._reader = FrameReader(self._sock)

    def send(self, body: bytes, descriptor: int | None, deadline: float) -> None:
        self._limit(deadline)
        channel.send(self._sock, body, descriptor)

    def receive(self, deadline: float) -> bytes:
        while True:
            self._limit(deadline)
            if (frame := self._reader.read()) is not None:
                frame.close()
                return frame.body
            if monotonic() > deadline:
                raise TimeoutError

    def close(self) -> None:
        self._reader.close()
        self._sock.close()

    def _limit(self, deadline: float) -> None:
        # An answer that has arrived is read after the deadline too.
        self._sock.settimeout(max(deadline - monotonic(), LEAST_SECONDS))


class Peers:
    """Thread-safe."""

    def __init__(self, folder: Path, node_id: str, clock: Callable[[], float] = monotonic) -> None:
        self._folder = folder
        self._clock = clock
        self._node_id = node_id
        self._lock = threading.Lock()
        self._idle: dict[str, list[PeerConnection]] = {}
        self._rests_until: dict[str, float] = {}
        self._is_open = True

    def ids(self) -> list[str]:
        """Return all other nodes."""
        return self.siblings()

    def siblings(self) -> list[str]:
        """Return the other nodes of this machine that listen, or did when they were killed."""
        with suppress(FileNotFoundError):
            return [each for each in nodes(self._folder) if each != self._node_id]
        return []

    def has(self, node_id: str) -> bool:
        """Return whether a node of this machine listens, or did when it was killed."""
        return os.path.exists(address(self._folder, node_id))

    def ask(
        self,
        node_id: str,
        message: Message,
        descriptor: int | None = None,
        seconds: float = ANSWER_SECONDS,
    ) -> Any:
        """Send a message to a node, and return the value of its answer. Raises ``Unanswered``."""
        deadline = monotonic() + seconds
        body = encode(message)
        with turns.waiting():
            return self._receive(node_id, self._send(node_id, body, descriptor, deadline), deadline)

    def ask_all(
        self, messages: Mapping[str, Message], seconds: float = ANSWER_SECONDS
    ) -> Mapping[str, Any]:
        """Send each node its message, all before the first answer. Return the values that came."""
        deadline = monotonic() + seconds
        asked: dict[str, PeerConnection] = {}
        answers: dict[str, Any] = {}
        with turns.waiting():
            for node_id, message in messages.items():
                with suppress(Unanswered):
                    asked[node_id] = self._send(node_id, encode(message), None, deadline)
            for node_id, connection in asked.items():
                with suppress(Unanswered):
                    answers[node_id] = self._receive(node_id, connection, deadline)
        return answers

    def is_silent(self, node_id: str) -> bool:
        """Return whether the node did not answer in time a moment ago."""
        return self._rests_until.get(node_id, 0.0) > self._clock()

    def close(self) -> None:
        """Close the connections that wait for their next use, and keep no more."""
        with self._lock:
            self._is_open = False
            idle, self._idle = self._idle, {}
        _close(connection for each in idle.values() for connection in each)

    def _send(
        self, node_id: str, body: bytes, descriptor: int | None, deadline: float
    ) -> PeerConnection:
        if self.is_silent(node_id):
            raise Unanswered(f"Node {node_id} did not answer a moment ago.")
        if (connection := self._kept(node_id)) is not None:
            try:
                connection.send(body, descriptor, deadline)
            except TimeoutError as error:
                connection.close()
                raise self._failed(node_id, error) from None
            except OSError:
                # The other end has closed it since, so it received nothing.
                connection.close()
            else:
                return connection
        try:
            connection = PeerConnection(address(self._folder, node_id), deadline)
        except OSError as error:
            raise self._failed(node_id, error) from None
        try:
            connection.send(body, descriptor, deadline)
        except OSError as error:
            connection.close()
            raise self._failed(node_id, error) from None
        return connection

    def _receive(self, node_id: str, connection: PeerConnection, deadline: float) -> Any:
        try:
            answer = decode_answer(connection.receive(deadline))
        except (OSError, EOFError, Malformed) as error:
            connection.close()
            raise self._failed(node_id, error) from None
        self._keep(node_id, connection)
        if isinstance(answer, Accepted):
            return answer.value
        logger.warning("node %s refuses a message: %s", node_id, answer.reason)
        raise Refusal(node_id, answer.reason)

    def _failed(self, node_id: str, error: Exception) -> Unanswered:
        """Note why a node could not be asked, and return the error for it."""
        if isinstance(error, TimeoutError):
            self._rests_until[node_id] = self._clock() + REST_SECONDS
            sentence = f"Node {node_id} does not answer."
        elif isinstance(error, Malformed):
            sentence = f"Node {node_id} answers with something else: {error}"
        elif isinstance(error, GONE):
            sentence = f"Node {node_id} is gone."
            if not self._forget(node_id):
                return Unanswered(sentence)  # It was logged before.
        else:
            sentence = f"Node {node_id} cannot be asked: {error}"
        logger.warning("%s", sentence)
        return Unanswered(sentence)

    def _forget(self, node_id: str) -> bool:
        """Remove the address of a node that has ended. Returns whether it was there."""
        with self._lock:
            idle = self._idle.pop(node_id, [])
            self._rests_until.pop(node_id, None)
        _close(idle)
        path = address(self._folder, node_id)
        with suppress(OSError):
            if _is_dead(path):
                os.unlink(path)
                return True
        return bool(idle)

    def _kept(self, node_id: str) -> PeerConnection | None:
        with self._lock:
            idle = self._idle.get(node_id)
            return idle.pop() if idle else None

    def _keep(self, node_id: str, connection: PeerConnection) -> None:
        with self._lock:
            idle = self._idle.setdefault(node_id, [])
            if self._is_open and len(idle) < MOST_IDLE:
                idle.append(connection)
                return
        connection.close()


def _is_dead(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            # An address appears only once its node listens: this one has ended.
            return True
        except BlockingIOError:
            return False
    return False


def _close(connections: Iterable[PeerConnection]) -> None:
    for connection in connections:
        connection.close()
