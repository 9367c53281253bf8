"""The calls of a soak: what comes and goes on a telephone line, well-behaved or not."""

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
from bench.load.connect import HOST, PATIENCE, Reception, Ticket, connect
from bench.load.dialects import FIRST_CHUNK, Phone, compact, heard, numbered, opening, repeated
from bench.load.frames import TEXT, masked, split
from bench.soak.verdict import FRAME_SECONDS

ROOMS = 10
PROVIDERS = ("twilio", "plivo", "telnyx")

IDLE_SECONDS = 20.0
"""For how long one that says nothing waits to be closed."""

RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: closing the socket resets the connection."""


class Line:
    """Makes calls to one server. Thread-safe: each thread has a connection of its own.

    ``over`` ends calls that would go on.
    """

    def __init__(self, port: int, token: str, over: threading.Event) -> None:
        self._port, self._token = port, token
        self._over = over
        self._local = threading.local()
        # Of its own, and gone after this: a connection is a descriptor of the server's.
        reception = Reception(port, token)
        self._webhooks = [
            (provider, reception.webhook(provider, f"soak-{number}"))
            for provider in PROVIDERS
            for number in range(ROOMS)
        ]
        nowhere: str = reception.post("/v2/connectors", {"provider": "twilio"})["webhookUrl"]
        self._nowhere = urlsplit(nowhere).path

    def short(self) -> None:
        """A call that lasts a second or so, and hangs up."""
        self._call(random.uniform(0.3, 2.0))  # noqa: S311 - no secret

    def medium(self) -> None:
        """One that lasts for a while."""
        self._call(random.uniform(5.0, 10.0))  # noqa: S311 - no secret

    def killed(self) -> None:
        """A call whose connection is reset in the middle."""
        phone, sock = self._connect()
        with closing(sock):
            self._talk(phone, sock, 0.5)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)

    def rejected(self) -> None:
        """A call to a connector that leads nowhere."""
        with suppress(ConnectionError):
            self._reception.stream(self._nowhere, Phone("twilio"))

    def abandoned(self) -> None:
        """A call that is answered, and whose socket never comes."""
        self._ring()

    def half_open(self) -> None:
        """A socket that stops half-way through its handshake, and leaves its call waiting."""
        path = _ticket(self._ring()).path
        with socket.create_connection((HOST, self._port), PATIENCE) as sock:
            sock.sendall(f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\nUpgra".encode())
            self._await_end(sock)

    def silent(self) -> None:
        """A socket that is opened and says nothing."""
        sock, _ = connect(self._port, _ticket(self._ring()))
        with sock:
            self._await_end(sock)

    def long(self) -> list[float]:
        """One that stays until ``over``; the moments at which each of its frames came."""
        phone, sock = self._connect()
        moments: list[float] = []
        with closing(sock):
            self._talk(phone, sock, float("inf"), moments)
        return moments

    def fill(self, threads: int) -> None:
        """Have so many requests wait for a body at once, each in a thread of the server."""
        _, path = self._webhooks[0]
        head = f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\nExpect: 100-continue\r\n"
        head += "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 10\r\n\r\n"
        socks = [socket.create_connection((HOST, self._port), PATIENCE) for _ in range(threads)]
        for sock in socks:
            sock.sendall(head.encode())
        for sock in socks:
            self._await_end(sock)
            sock.close()

    @property
    def _reception(self) -> Reception:
        if not hasattr(self._local, "reception"):
            self._local.reception = Reception(self._port, self._token)
        reception: Reception = self._local.reception
        return reception

    def _ring(self) -> Phone:
        """A call that may open its socket."""
        provider, webhook = random.choice(self._webhooks)  # noqa: S311 - no secret
        phone = Phone(provider)
        phone.stream = self._reception.stream(webhook, phone)
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
        """Say a frame every 20 ms, and listen; when each that was heard came is in ``moments``."""
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
        return lambda number: patterns[number % test_signal.NUMBERS].bearing(
            b"%d" % (FIRST_CHUNK + number)
        )
    frames: Sequence[bytes] = repeated(phone, 0)
    return lambda number: frames[number % test_signal.NUMBERS]


def _note(data: bytes, moments: list[float]) -> bytes:
    """Note every whole frame of audio in ``data``; what is left of it."""
    end = 0
    for stop, opcode, message in split(data):
        end = stop
        if opcode == TEXT and heard(message) is not None:
            moments.append(time.monotonic())
    return data[end:]
