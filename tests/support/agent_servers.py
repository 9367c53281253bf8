"""Agents that can be dispatched: they listen on loopback, record requests, and answer."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.support.http_servers import in_thread

PATIENCE = 60


@dataclass(frozen=True, slots=True)
class ReceivedDispatch:
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.body)
        return document

    @property
    def ref(self) -> str:
        ref: str = self.document["wsUrl"].rpartition("=")[2]
        return ref


class AgentServer:
    """An agent that answers with ``statuses`` in turn; the last one repeats.

    ``on_request`` is called with each request before its answer.
    """

    def __init__(
        self, statuses: tuple[int, ...], on_request: Callable[[ReceivedDispatch], None] | None
    ) -> None:
        self.url = ""
        self.asked: list[ReceivedDispatch] = []
        self._statuses = statuses
        self._on_request = on_request
        self._news = threading.Condition()

    def wait_for(self, count: int) -> ReceivedDispatch:
        """Wait for the ``count``-th request."""
        with self._news:
            assert self._news.wait_for(lambda: len(self.asked) >= count, PATIENCE), self.asked
            return self.asked[count - 1]

    def answer(self, asked: ReceivedDispatch) -> int:
        with self._news:
            self.asked.append(asked)
            status = self._statuses[min(len(self.asked), len(self._statuses)) - 1]
            self._news.notify_all()
        if self._on_request is not None:
            self._on_request(asked)
        return status


@contextmanager
def agent_server(
    *statuses: int, on_request: Callable[[ReceivedDispatch], None] | None = None
) -> Iterator[AgentServer]:
    program = AgentServer(statuses or (200,), on_request)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            self.send_response(program.answer(ReceivedDispatch(headers, body)))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    program.url = f"http://127.0.0.1:{server.server_port}/join"
    with in_thread(server):
        yield program
