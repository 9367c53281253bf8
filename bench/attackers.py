"""Clients that violate the protocol during calls, and reconnect when they are disconnected.

A disconnected attacker asks for a new ticket, so the benchmark measures the cost of a persistent
attack. Its data is prepared and paced, because the load generator runs on the same core.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from bench.load.connect import HOST, TIMEOUT, PatchbayClient, Ticket, connect
from bench.load.dialects import Agent
from bench.load.frames import CONTINUATION, PING, TEXT, masked

INTERVAL = 0.02
"""Seconds between two bursts."""

BURST_FRAMES = 100
"""Frames of a flood in each burst: 5,000 a second."""

START = masked(b'{"event":"start"}')


@dataclass(frozen=True, slots=True)
class Attacker:
    """One kind of attack by ``count`` connections.

    Each sends the ``preamble`` once and then a ``burst`` per interval. It drains its socket if
    ``reads`` is set, and upgrades to WebSocket if ``upgrades`` is set.
    """

    name: str
    preamble: bytes = b""
    burst: bytes = b""
    count: int = 1
    reads: bool = True
    upgrades: bool = True


ATTACKERS = (
    Attacker("sockets that say nothing", count=50),
    Attacker(
        "handshakes that never end", b"GET /twilio/x HTTP/1.1\r\nX: ", b"x", 20, upgrades=False
    ),
    Attacker("half a frame, a byte at a time", START + b"\x81\xfe\xff\xff\0\0\0\0", b"x", count=20),
    Attacker(
        "audio, 5,000 a second",
        START,
        masked(b'{"event":"media","payload":"AAAAAAAA"}') * BURST_FRAMES,
    ),
    Attacker("pings, 5,000 a second", START, masked(b"", PING) * BURST_FRAMES),
    Attacker(
        "pieces, 5,000 a second",
        START,
        (masked(b'{"event"', TEXT, final=False) + masked(b':"x"}', CONTINUATION))
        * (BURST_FRAMES // 2),
    ),
    Attacker(
        "texts, 5,000 a second",
        START,
        masked(json.dumps({"event": "message", "topic": "t", "data": "x" * 50}).encode())
        * BURST_FRAMES,
    ),
    Attacker("deep JSON without a pause", START, masked(b"[" * 60_000)),
    Attacker(
        "a peer that reads nothing", START, masked(bytes(125), PING) * BURST_FRAMES, reads=False
    ),
)


class Attack:
    """A running attack. ``opened`` and ``closed`` count its connections, ``sent`` its bytes."""

    def __init__(self, attacker: Attacker, port: int, token: str) -> None:
        self.opened = self.closed = self.sent = 0
        self._attacker = attacker
        self._port = port
        self._client = PatchbayClient(port, token)
        self._connections = [_Connection() for _ in range(attacker.count)]
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def begin(self) -> None:
        self._thread.start()

    def end(self) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        due = time.monotonic()
        while not self._over.wait(max(0.0, due - time.monotonic())):
            for connection in self._connections:
                self._send_burst(connection)
            due += INTERVAL
        for connection in self._connections:
            connection.close()

    def _send_burst(self, connection: _Connection) -> None:
        try:
            if connection.sock is None:
                self._open(connection)
            self.sent += connection.send(self._attacker.burst)
            if self._attacker.reads:
                connection.read()
        except OSError:
            self.closed += connection.sock is not None
            connection.close()

    def _open(self, connection: _Connection) -> None:
        if self._attacker.upgrades:
            ticket = Ticket(self._client.agent_path("bench-peers"), Agent(), 0)
            connection.open(connect(self._port, ticket)[0])
        else:
            connection.open(socket.create_connection((HOST, self._port), TIMEOUT))
        self.opened += 1
        self.sent += connection.send(self._attacker.preamble)


class _Connection:
    """A non-blocking connection. It keeps the unsent rest of a burst for the next send."""

    def __init__(self) -> None:
        self.sock: socket.socket | None = None
        self._left = b""

    def open(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.sock, self._left = sock, b""

    def send(self, data: bytes) -> int:
        if self.sock is None:
            return 0
        data = self._left or data
        sent = 0
        if data:
            with suppress(BlockingIOError):
                sent = self.sock.send(data)
        self._left = data[sent:]
        return sent

    def read(self) -> None:
        """Drain the socket. Raise ``ConnectionError`` at its end."""
        with suppress(BlockingIOError):
            while self.sock is not None:
                if not self.sock.recv(65_536):
                    raise ConnectionError("The server has closed.")

    def close(self) -> None:
        if self.sock is not None:
            self.sock.close()
        self.sock = None


@contextmanager
def attacking(attacker: Attacker, port: int, token: str) -> Iterator[Attack]:
    attack = Attack(attacker, port, token)
    attack.begin()
    try:
        yield attack
    finally:
        attack.end()
