"""A webhook receiver on loopback, which records requests and answers as the test says.

An answer is a status, or a function of the handler for invalid behaviour.
"""

from __future__ import annotations

import os
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.support.http_servers import in_thread

PATIENCE = 60
"""Seconds after which a missing request fails its test."""

Answer = int | Callable[[BaseHTTPRequestHandler], None]


@dataclass(frozen=True, slots=True)
class Received:
    """One request. ``headers`` has names in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    connection: tuple[str, int]

    @property
    def delivery_id(self) -> str:
        return self.headers["x-patchbay-delivery"]


class Receiver:
    """``answer`` answers each request, in threads; ``released`` ends hanging answers.

    ``names`` has the server names that TLS clients requested.
    """

    def __init__(self) -> None:
        self.url = ""
        self.answer: Callable[[Received], Answer] = lambda _: 200
        self.released = threading.Event()
        self.names: list[str | None] = []
        self._received: list[Received] = []
        self._news = threading.Condition()

    @property
    def received(self) -> tuple[Received, ...]:
        with self._news:
            return tuple(self._received)

    @property
    def bodies(self) -> list[str]:
        return [request.body.decode() for request in self.received]

    def script(self, *answers: Answer) -> None:
        """Answer with these in turn, and then with 200."""
        left = list(answers)
        self.answer = lambda _: left.pop(0) if left else 200

    def take(self, received: Received) -> Answer:
        with self._news:
            self._received.append(received)
            self._news.notify_all()
        return self.answer(received)

    def wait_for(self, count: int) -> tuple[Received, ...]:
        """Return when this number of requests has arrived."""
        with self._news:
            came = self._news.wait_for(lambda: len(self._received) >= count, PATIENCE)
            assert came, f"{len(self._received)} requests came of {count}"
        return self.received

    def hang(self, _handler: BaseHTTPRequestHandler) -> None:
        """Send nothing."""
        self.released.wait(PATIENCE)

    def trickle(self, first: bytes) -> Answer:
        """Start an answer with these bytes, and then send single bytes."""

        def answer(handler: BaseHTTPRequestHandler) -> None:
            with suppress(OSError):
                handler.wfile.write(first)
                handler.wfile.flush()
                while not self.released.wait(0.02):
                    handler.wfile.write(b"x")
                    handler.wfile.flush()

        return answer


def says(*parts: bytes) -> Answer:
    """Send these parts in turn, and close the connection."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        for part in parts:
            handler.wfile.write(part)
            handler.wfile.flush()

    return answer


def breaks_off(*parts: bytes) -> Answer:
    """Send these bytes, and reset the connection."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        says(*parts)(handler)
        linger = struct.pack("ii", 1, 0)
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        # Otherwise the server shuts the socket down first, which is an orderly end.
        os.close(handler.connection.detach())

    return answer


def die(_handler: BaseHTTPRequestHandler) -> None:
    """Close the connection without an answer."""


def broken_bodies(status: int, *headers: str) -> dict[str, Answer]:
    """Answers with a valid head and an incomplete or invalid body."""
    head = "\r\n".join([f"HTTP/1.1 {status} Said", *headers, "Connection: close", ""]).encode()
    return {
        "a length too large": says(head + b"Content-Length: 9999\r\n\r\n{}"),
        "no body": says(head + b"Content-Length: 9999\r\n\r\n"),
        "a chunk cut off": says(head + b"Transfer-Encoding: chunked\r\n\r\n10\r\n{}"),
        "no last chunk": says(head + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"),
        "no chunks": says(head + b"Transfer-Encoding: chunked\r\n\r\n{}"),
        "a chunk of another size": says(
            head + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n"
        ),
        "a length and chunks": says(
            head + b"Content-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n"
        ),
        "two lengths": says(head + b"Content-Length: 2\r\nContent-Length: 9\r\n\r\n{}"),
        "two lengths in one": says(head + b"Content-Length: 2, 9\r\n\r\n{}"),
        "a length that is none": says(head + b"Content-Length: two\r\n\r\n{}"),
        "a length below nought": says(head + b"Content-Length: -2\r\n\r\n{}"),
        "no length": says(head + b"\r\n{}"),
        "compressed nonsense": says(
            head + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}"
        ),
        "a reset": breaks_off(head + b"Content-Length: 9999\r\n\r\n"),
        "a reset within": breaks_off(head + b"Content-Length: 9999\r\n\r\n", b"{}" * 3000),
        "a head without an end": says(head),
    }


def redirect(status: int, *location: str) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for place in location:
            handler.send_header("Location", place)
        handler.send_header("Content-Length", "0")
        handler.end_headers()
        handler.close_connection = False

    return answer


@contextmanager
def receiving(certificate: Path | None = None) -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length)
            if len(body) < length:
                # The sender has closed the connection.
                self.close_connection = True
                return
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = receiver.take(
                Received(self.command, self.path, headers, body, self.client_address)
            )
            if isinstance(answer, int):
                self.send_response(answer)
                self.send_header("Content-Length", "0")
                self.end_headers()
            else:
                self.close_connection = True
                answer(self)

        def do_GET(self) -> None:
            self.do_POST()

        def log_message(self, *arguments: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, *_: object) -> None:
            """Ignore errors of clients that have disconnected."""

    server = Server(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_port}"
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        context.sni_callback = lambda _socket, name, _context: receiver.names.append(name)
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
        receiver.url = receiver.url.replace("http:", "https:")
    with in_thread(server):
        try:
            yield receiver
        finally:
            receiver.released.set()
