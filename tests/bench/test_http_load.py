"""Requests on several connections to a server that echoes each body."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from bench.http_load import CONNECTIONS, Answers, Script, drive


class Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # One segment per answer: Nagle would delay the second.

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(404 if body == b"refuse" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


def request(body: str) -> bytes:
    return f"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


def answered(port: int, script: Callable[[], Script], pace: float | None) -> Answers:
    """Drive the server, again if a busy machine has answered nothing in so short a time."""
    while not (answers := drive(port, script, pace=pace, seconds=0.3)).rate:
        pass
    return answers


@pytest.mark.parametrize("pace", [None, 50.0])
def test_every_connection_gets_its_own_answers(port: int, pace: float | None) -> None:
    begun = []

    def script() -> Script:
        begun.append(len(begun))
        turn, own = 0, begun[-1]
        while True:
            assert (yield request(f"{own}/{turn}")) == f"{own}/{turn}".encode()
            turn += 1

    answers = answered(port, script, pace)
    assert len(begun) % CONNECTIONS == 0
    assert answers.refused == 0
    assert 0 < answers.p50 <= answers.p99


def test_refusals_are_counted_and_empty_answers_are_read(port: int) -> None:
    def script() -> Script:
        while True:
            yield request("refuse")
            assert (yield request("")) == b""

    answers = answered(port, script, None)
    assert answers.refused > 0
