"""Measure how fast Patchbay answers webhooks and API requests on a few open connections."""

from __future__ import annotations

import json
import select
import socket
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from bench.load.connect import HOST, TIMEOUT, PatchbayClient
from bench.load.dialects import Phone

CONNECTIONS = 8

Script = Generator[bytes, bytes, None]
"""The requests of one connection. The generator receives the body of each answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """Times are in milliseconds since a request was due, ``cpu`` is the client's in cores."""

    rate: float
    p50: float
    p99: float
    refused: int
    cpu: float


def webhooks(port: int, token: str) -> Callable[[], Script]:
    """Return a script whose every request is the webhook of a new phone call."""
    path = PatchbayClient(port, token).webhook("twilio", "bench-webhooks")

    def script() -> Script:
        while True:
            fields = urlencode(Phone("twilio").dialect.webhook())
            yield _request("POST", path, fields, "application/x-www-form-urlencoded")

    return script


def connectors(port: int, token: str) -> Callable[[], Script]:
    """Return a script that creates, reads, changes and deletes a connector."""

    def ask(method: str, path: str, body: object = None) -> bytes:
        text = "" if body is None else json.dumps(body)
        return _request(method, path, text, "application/json", token)

    def script() -> Script:
        fields = {"provider": "twilio", "defaultRoomId": "bench-connectors"}
        while True:
            answer = yield ask("POST", "/v2/connectors", fields)
            path = f"/v2/connectors/{json.loads(answer)['data']['id']}"
            yield ask("GET", path)
            yield ask("PATCH", path, {"name": "Bench"})
            yield ask("DELETE", path)

    return script


def _request(method: str, path: str, body: str, kind: str, token: str = "") -> bytes:
    """Return a complete HTTP request."""
    authorization = f"Authorization: {token}\r\n" if token else ""
    return (
        f"{method} {path} HTTP/1.1\r\nHost: {HOST}\r\n{authorization}"
        f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


class _Connection:
    """A connection with one request in flight."""

    def __init__(self, port: int, script: Script) -> None:
        self.sock = socket.create_connection((HOST, port), TIMEOUT)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.due: float | None = None
        self._script = script
        self._next = next(script)
        self._answer = b""

    def fileno(self) -> int:
        return self.sock.fileno()

    def ask(self, due: float) -> None:
        self.due = due
        self.sock.sendall(self._next)

    def read(self) -> int | None:
        """Return the status of the answer when it is complete."""
        data = self.sock.recv(65_536)
        if not data:
            raise ConnectionError("The server closed a connection that was to stay open.")
        self._answer += data
        head, separator, body = self._answer.partition(b"\r\n\r\n")
        if not separator:
            return None
        lines = head.lower().split(b"\r\n")
        length = next(line for line in lines if line.startswith(b"content-length:"))
        if len(body) < int(length.partition(b":")[2]):
            return None
        self._answer = b""
        self.due = None
        self._next = self._script.send(body)
        return int(head.split(None, 2)[1])


def drive(
    port: int, script: Callable[[], Script], *, pace: float | None, seconds: float
) -> Answers:
    """Send ``pace`` requests a second, or the next one after each answer if it is ``None``."""
    connections = [_Connection(port, script()) for _ in range(CONNECTIONS)]
    idle = list(connections)
    taken: list[float] = []
    refused = 0
    cpu = time.process_time()
    start = due = now = time.monotonic()
    while now < start + seconds:
        while idle and due <= now:
            # The time that a request waits for a free connection counts.
            idle.pop().ask(due if pace else now)
            due += 1 / pace if pace else 0.0
        busy = [connection for connection in connections if connection.due is not None]
        wait = max(0.0, due - now) if pace and idle else 1.0
        for connection in select.select(busy, (), (), wait)[0]:
            asked = connection.due
            status = connection.read()
            if status is not None and asked is not None:
                taken.append(time.monotonic() - asked)
                refused += status >= 300
                idle.append(connection)
        now = time.monotonic()
    elapsed = now - start
    for connection in connections:
        connection.sock.close()
    return Answers(
        rate=len(taken) / elapsed,
        p50=_percentile(taken, 0.50),
        p99=_percentile(taken, 0.99),
        refused=refused,
        cpu=(time.process_time() - cpu) / elapsed,
    )


def _percentile(seconds: Sequence[float], share: float) -> float:
    ordered = sorted(seconds)
    return ordered[int(share * (len(ordered) - 1))] * 1000 if ordered else float("inf")
