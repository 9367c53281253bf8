"""Short calls beside long ones: each join and each leave changes a room.

Each call is asked for, connected and begun as a provider does it, hears its room of two for a few
seconds, and hangs up. They say nothing, so that the load generator, whose core this shares, has
time to listen to the calls that are held.
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

from bench.load.connect import Reception, Ticket, connect
from bench.load.dialects import Phone, opening

RATE = 20
"""Calls that come in a second, and go."""

STAY = 3.0
"""Seconds for which a call stays."""


class Churn:
    """``begun`` and ``failed`` count calls; ``seconds`` says how long each took to be connected."""

    def __init__(self, port: int, token: str) -> None:
        self.begun = self.failed = 0
        self.seconds: list[float] = []
        self._port = port
        self._reception = Reception(port, token)
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
                # One connector is one room; there are two in each.
                room = f"bench-churn-{secrets.token_hex(4)}"
                self._webhook = self._reception.webhook("twilio", room)
            self._call()
            self._hear()
            while self._up and time.monotonic() > self._up[0][0] + STAY:
                self._up.popleft()[1].close()
        for _, sock in self._up:
            sock.close()

    def _call(self) -> None:
        phone = Phone("twilio")
        began = time.monotonic()
        self.begun += 1
        try:
            phone.stream = self._reception.stream(self._webhook, phone)
            ticket = Ticket(urlsplit(phone.stream.url).path, phone, 0)
            sock, _ = connect(self._port, ticket)
            sock.sendall(opening(phone))
        except OSError:
            self.failed += 1
            return
        self.seconds.append(time.monotonic() - began)
        sock.setblocking(False)
        self._up.append((time.monotonic(), sock))

    def _hear(self) -> None:
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
