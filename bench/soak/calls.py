"""The calls of a soak test, well-behaved or not."""

from __future__ import annotations

import itertools
import random
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from urllib.parse import urlsplit

from bench.load import test_signal
from bench.load.connect import HOST, TIMEOUT, PatchbayClient, Ticket, connect
from bench.load.dialects import FIRST_CHUNK, Phone, audio_of, compact, numbered, opening, repeated
from bench.load.frames import TEXT, masked, split
from bench.soak.verdict import FRAME_SECONDS

ROOMS = 10
PROVIDERS = ("twilio", "plivo", "telnyx")

IDLE_SECONDS = 20.0
"""Seconds that a silent socket waits to be closed."""

RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: closing the socket resets the connection."""


class CallGenerator:
    """Generator of calls to one server. Thread-safe: each thread has its own connection.

    The event ``over`` ends the calls that are still running.
    """

    def __init__(self, port: int, token: str, over: threading.Event) -> None:
        self._port, self._token = port, token
        self._over = over
        self._local = threading.local()
        # A local client, closed at the end: its connection is one of the server's descriptors.
        client = PatchbayClient(port, token)
        self._webhooks = [
            (provider, client.webhook(provider, f"soak-{number}"))
            for provider in PROVIDERS
            for number in range(ROOMS)
        ]
        nowhere: str = client.post("/v2/connectors", {"provider": "twilio"})["webhookUrl"]
        self._nowhere = urlsplit(nowhere).path

    def short(self) -> None:
        """Make a call that hangs up after about a second."""
        self._call(random.uniform(0.3, 2.0))  # noqa: S311 - no secret

    def medium(self) -> None:
        """Make a call of several seconds."""
        self._call(random.uniform(5.0, 10.0))  # noqa: S311 - no secret

    def killed(self) -> None:
        """Make a call and reset its connection."""
        phone, sock = self._connect()
        with closing(sock):
            self._talk(phone, sock, 0.5)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)

    def rejected(self) -> None:
        """Call a connector without a room."""
        with suppress(ConnectionError):
            self._client.stream(self._nowhere, Phone("twilio"))

    def abandoned(self) -> None:
        """Make a call that is answered, and never open its socket."""
        self._ring()

    def half_open(self) -> None:
        """Stop in the middle of a socket's handshake, so that its call waits."""
        path = _ticket(self._ring()).path
        with socket.create_connection((HOST, self._port), TIMEOUT) as sock:
            sock.sendall(f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\nUpgra".encode())
            self._await_end(sock)

    def silent(self) -> None:
        """Open a socket and send nothing."""
        sock, _ = connect(self._port, _ticket(self._ring()))
        with sock:
            self._await_end(sock)

    def long(self) -> list[float]:
        """Make a call until ``over`` is set; return the arrival time of each frame."""
        phone, sock = self._connect()
        moments: list[float] = []
        with closing(sock):
            self._talk(phone, sock, float("inf"), moments)
        return moments

    def fill(self, threads: int) -> None:
        """Occupy this number of server threads with requests that wait for a body."""
        _, path = self._webhooks[0]
        head = f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\nExpect: 100-continue\r\n"
        head += "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 10\r\n\r\n"
        socks = [socket.create_connection((HOST, self._port), TIMEOUT) for _ in range(threads)]
        for sock in socks:
            sock.sendall(head.encode())
        for sock in socks:
            self._await_end(sock)
            sock.close()

    @property
    def _client(self) -> PatchbayClient:
        if not hasattr(self._local, "client"):
            self._local.client = PatchbayClient(self._port, self._token)
        client: PatchbayClient = self._local.client
        return client

    def _ring(self) -> Phone:
        """Send a call's webhook; the call may then open its socket."""
        provider, webhook = random.choice(self._webhooks)  # noqa: S311 - no secret
        phone = Phone(provider)
        phone.stream = self._client.stream(webhook, phone)
        return phone

    def _connect(self) -> tuple[Phone, socket.socket]:
        phone = self._ring()
        sock, _ = connect(self._port, _ticket(phone))
        sock.sendall(opening(phone))
        return phone, sock

    def _call(self, seconds: float) -> None:
        phone, sock = self._connect()
        with closing(sock):
            self._talk(phone, sock, seconds)
            stop = phone.dialect.stop()
            if stop is not None:
                sock.sendall(masked(compact(stop)))

    def _talk(
        self, phone: Phone, sock: socket.socket, seconds: float, moments: list[float] | None = None
    ) -> None:
        """Send a frame every 20 ms, and add the arrival time of received frames to ``moments``."""
        frame = _frames(phone)
        data = b""
        began = time.monotonic()
        for number in itertools.count():
            due = began + number * FRAME_SECONDS
            while select.select((sock,), (), (), max(0.0, due - time.monotonic()))[0]:
                received = sock.recv(65_536)
                if not received:
                    raise ConnectionError("The server closed a call.")
                if moments is not None:
                    data = _note(data + received, moments)
            if due - began >= seconds or self._over.is_set():
                return
            sock.sendall(frame(number))

    def _await_end(self, sock: socket.socket) -> None:
        sock.settimeout(IDLE_SECONDS)
        with suppress(OSError):
            while sock.recv(4096):
                pass


def _ticket(phone: Phone) -> Ticket:
    return Ticket(urlsplit(phone.stream.url).path, phone, 0)


def _frames(phone: Phone) -> Callable[[int], bytes]:
    if phone.numbers_chunks:
        patterns = numbered(phone, 0)
        return lambda number: patterns[number % test_signal.NUMBERS].with_number(
            b"%d" % (FIRST_CHUNK + number)
        )
    frames: Sequence[bytes] = repeated(phone, 0)
    return lambda number: frames[number % test_signal.NUMBERS]


def _note(data: bytes, moments: list[float]) -> bytes:
    """Record the arrival of each complete audio frame in ``data``; return the rest of it."""
    end = 0
    for stop, opcode, message in split(data):
        end = stop
        if opcode == TEXT and audio_of(message) is not None:
            moments.append(time.monotonic())
    return data[end:]
