"""Peers that break the rules beside calls, each for as long as it is let, and then once more.

Whoever is put out asks for a new ticket: what is measured is what an attacker costs the others who
does not give up. The work is paced and made beforehand, since the load generator shares the core.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from bench.load.connect import HOST, PATIENCE, Reception, Ticket, connect
from bench.load.dialects import Program
from bench.load.frames import CONTINUATION, PING, TEXT, masked

BEAT = 0.02
"""Seconds between two bursts."""

A_BEAT = 100
"""Frames of a flood in each of them: 5,000 a second."""

START = masked(b'{"event":"start"}')


@dataclass(frozen=True, slots=True)
class Peer:
    """What one of ``many`` such peers sends: once, and then in each beat. ``reads`` what it hears.

    Without ``upgrades`` it stays at HTTP.
    """

    name: str
    once: bytes = b""
    burst: bytes = b""
    many: int = 1
    reads: bool = True
    upgrades: bool = True


PEERS = (
    Peer("sockets that say nothing", many=50),
    Peer("handshakes that never end", b"GET /twilio/x HTTP/1.1\r\nX: ", b"x", 20, upgrades=False),
    Peer("half a frame, a byte at a time", START + b"\x81\xfe\xff\xff\0\0\0\0", b"x", many=20),
    Peer(
        "audio, 5,000 a second", START, masked(b'{"event":"media","payload":"AAAAAAAA"}') * A_BEAT
    ),
    Peer("pings, 5,000 a second", START, masked(b"", PING) * A_BEAT),
    Peer(
        "pieces, 5,000 a second",
        START,
        (masked(b'{"event"', TEXT, final=False) + masked(b':"x"}', CONTINUATION)) * (A_BEAT // 2),
    ),
    Peer(
        "texts, 5,000 a second",
        START,
        masked(json.dumps({"event": "message", "topic": "t", "data": "x" * 50}).encode()) * A_BEAT,
    ),
    Peer("deep JSON without a pause", START, masked(b"[" * 60_000)),
    Peer("a peer that reads nothing", START, masked(bytes(125), PING) * A_BEAT, reads=False),
)


class Attack:
    """``opened`` and ``closed`` count its connections, ``sent`` its bytes."""

    def __init__(self, peer: Peer, port: int, token: str) -> None:
        self.opened = self.closed = self.sent = 0
        self._peer = peer
        self._port = port
        self._reception = Reception(port, token)
        self._lines = [_Line() for _ in range(peer.many)]
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
            for line in self._lines:
                self._turn(line)
            due += BEAT
        for line in self._lines:
            line.close()

    def _turn(self, line: _Line) -> None:
        try:
            if line.sock is None:
                self._open(line)
            self.sent += line.send(self._peer.burst)
            if self._peer.reads:
                line.read()
        except OSError:
            self.closed += line.sock is not None
            line.close()

    def _open(self, line: _Line) -> None:
        if self._peer.upgrades:
            ticket = Ticket(self._reception.program("bench-peers"), Program(), 0)
            line.open(connect(self._port, ticket)[0])
        else:
            line.open(socket.create_connection((HOST, self._port), PATIENCE))
        self.opened += 1
        self.sent += line.send(self._peer.once)


class _Line:
    """One connection, which never waits: what does not fit into it yet is sent with the next."""

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
        """Raises ``ConnectionError`` at the end."""
        with suppress(BlockingIOError):
            while self.sock is not None:
                if not self.sock.recv(65_536):
                    raise ConnectionError("The server has closed.")

    def close(self) -> None:
        if self.sock is not None:
            self.sock.close()
        self.sock = None


@contextmanager
def attacking(peer: Peer, port: int, token: str) -> Iterator[Attack]:
    attack = Attack(peer, port, token)
    attack.begin()
    try:
        yield attack
    finally:
        attack.end()
