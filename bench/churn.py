"""Short calls during long ones: each join and each leave changes a room.

Each call sends its webhook, opens its socket and starts its stream as a provider does, stays in a
room of two for a few seconds, and hangs up. Short calls send no audio, because the load generator,
which listens to the long calls, runs on the same core.
"""

from __future__ import annotations

import secrets
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

import numpy as np

from bench.load.connect import PatchbayClient, Ticket, connect
from bench.load.dialects import Phone, opening

RATE = 20
"""New calls a second."""

CALL_SECONDS = 3.0
"""Length of a short call."""


class Churn:
    """Running churn. ``begun`` and ``failed`` count calls; ``seconds`` has each set-up time."""

    def __init__(self, port: int, token: str) -> None:
        self.begun = self.failed = 0
        self.seconds: list[float] = []
        self._port = port
        self._client = PatchbayClient(port, token)
        self._webhook = ""
        self._up: deque[tuple[float, socket.socket]] = deque()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    @property
    def p99(self) -> float:
        """Milliseconds from the webhook to the open socket."""
        return float(np.percentile(self.seconds, 99)) * 1000 if self.seconds else float("inf")

    def begin(self) -> None:
        self._thread.start()

    def end(self) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        due = time.monotonic()
        while not self._over.wait(max(0.0, due - time.monotonic())):
            due += 1 / RATE
            if self.begun % 2 == 0:
                # A connector leads to one room, and a room has two calls.
                room = f"bench-churn-{secrets.token_hex(4)}"
                self._webhook = self._client.webhook("twilio", room)
            self._call()
            self._drain()
            while self._up and time.monotonic() > self._up[0][0] + CALL_SECONDS:
                self._up.popleft()[1].close()
        for _, sock in self._up:
            sock.close()

    def _call(self) -> None:
        phone = Phone("twilio")
        began = time.monotonic()
        self.begun += 1
        try:
            phone.stream = self._client.stream(self._webhook, phone)
            ticket = Ticket(urlsplit(phone.stream.url).path, phone, 0)
            sock, _ = connect(self._port, ticket)
            sock.sendall(opening(phone))
        except OSError:
            self.failed += 1
            return
        self.seconds.append(time.monotonic() - began)
        sock.setblocking(False)
        self._up.append((time.monotonic(), sock))

    def _drain(self) -> None:
        for _, sock in self._up:
            with suppress(OSError):
                sock.recv(65_536)


@contextmanager
def churning(port: int, token: str) -> Iterator[Churn]:
    churn = Churn(port, token)
    churn.begin()
    try:
        yield churn
    finally:
        churn.end()
