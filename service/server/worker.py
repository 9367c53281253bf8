"""The gunicorn worker: the main thread reads requests and sends answers, threads compute them.

gunicorn's own worker reads and writes in its threads, so one slow client per thread blocks all
others. Here a thread gets a request whose whole body is in memory. The main thread sends the part
of the answer that the kernel does not accept at once. Every wait for a client has a deadline, and
the memory that clients occupy is bounded.

Only a few threads run at a time, because each one competes with the media engine for the GIL.
Requests that wait for I/O do not count.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future
from functools import partial
from io import BytesIO
from selectors import EVENT_WRITE
from typing import Any

from service.process import turns
from service.server.clients import READ_BYTES, ClientConnection
from service.server.connection_loop import LINGER_SECONDS, ConnectionLoop
from service.server.refusals import Refused
from service.server.request_framing import Incoming

ARRIVAL_SECONDS = 10.0
"""Seconds that a request may take, from its first byte to its last."""

UPLOAD_SECONDS = 60.0
"""Seconds that a body above ``SMALL_BODY`` may take after its head, where one is allowed."""

ANSWER_SECONDS = 30.0
"""Seconds that a client may take to receive its answer."""

SMALL_BODY = 64 * 1024

AT_ONCE = 2
"""Requests that run at a time."""

PATIENCE = 0.025
"""Seconds after which a request gets a thread in any case: the running ones may wait without
marking it."""

LOOK_AGAIN = 0.005
"""Interval in which the main thread checks whether a request has begun to wait."""

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Worker(ConnectionLoop):
    """All methods but ``handle``, ``handle_request`` and ``handle_error`` run in the main thread.

    ``whole_conns`` have sent a whole request and wait for their turn.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.whole_conns: deque[ClientConnection] = deque()
        self._in_threads: set[ClientConnection] = set()
        # gunicorn's own limit would end the worker without a drain.
        self._retires_at, self.max_requests = self.max_requests, sys.maxsize
        self.patience = PATIENCE
        self.body_limits: Mapping[str, int] = {}
        """The longest body in bytes of each path that takes more than ``SMALL_BODY``."""

    def welcome(self, conn: ClientConnection) -> None:
        self._rest(conn)

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        super().wait_for_and_dispatch_events(
            min(timeout, LOOK_AGAIN) if self.whole_conns else timeout
        )
        self._give_turns()

    def handle(self, conn: ClientConnection) -> Any:
        with turns.taken(conn.turn):
            return super().handle(conn)

    def handle_request(self, req: Any, conn: ClientConnection) -> Any:
        # gunicorn made it blocking.
        conn.sock.setblocking(False)
        return super().handle_request(req, conn)

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: Exception) -> None:
        """Answer a failure outside the application. The request itself was valid."""
        self.log.error("A request failed outside the application.", exc_info=exc)
        client.sendall(Refused(500, "Something went wrong on our side.").answer())

    def finish_request(self, conn: ClientConnection, fs: Future[Any]) -> None:
        self._in_threads.discard(conn)
        self._contained(conn, self._answered, conn, fs)
        self._give_turns()
        if self.nr >= self._retires_at:
            self._retires_at = sys.maxsize
            self.log.info("The worker has answered as many requests as it may, and ends.")
            os.kill(os.getpid(), signal.SIGTERM)

    def _keepalive_after(self, conn: ClientConnection, keepalive: bool) -> bool:
        return keepalive

    def _give_turns(self) -> None:
        while self.whole_conns:
            now = time.monotonic()
            running = sum(conn.turn.is_running(now) for conn in self._in_threads)
            conn = self.whole_conns[0]
            if running >= AT_ONCE and conn.timeout > now:
                return
            self.whole_conns.popleft()
            conn.queue = None
            self._contained(conn, self._submit, conn)

    def _submit(self, conn: ClientConnection) -> None:
        super().enqueue_req(conn)
        self._in_threads.add(conn)

    def _rest(self, conn: ClientConnection) -> None:
        """Wait for the next request."""
        seconds = self.cfg.keepalive if self.alive else LINGER_SECONDS
        self._await(conn, self.keepalived_conns, self._begin, seconds)

    def _begin(self, conn: ClientConnection) -> None:
        """Begin a request with the data that is available."""
        limits = self.body_limits
        largest = max([SMALL_BODY, *limits.values()])

        def limit_of(path: str) -> int:
            # The server may be mounted below a prefix.
            return max([SMALL_BODY, *(limits[end] for end in limits if path.endswith(end))])

        incoming = Incoming(conn.parse, limit_of, largest)
        self._await(conn, self.pending_conns, partial(self._read, incoming), ARRIVAL_SECONDS)
        self._read(incoming, conn)

    def _read(self, incoming: Incoming, conn: ClientConnection) -> None:
        was_read, wanted = incoming.request is not None, incoming.wants(READ_BYTES)
        data = conn.sock.received(wanted)
        if data is None:
            return
        if not data:
            self.close_conn(conn)
            return
        try:
            used = incoming.feed(data)
        except Refused as refused:
            self.log.info("A request was refused with %d: %s", refused.status, refused.sentence)
            self._refuse(conn, refused)
            return
        if wanted is None:
            # The rest belongs to the next request, or to the first frames of a WebSocket.
            conn.sock.recv(used)
        self._hold(conn, incoming.held)
        if conn.queue is None:
            return
        if incoming.is_complete:
            self._complete(conn, incoming)
        elif not was_read and incoming.request is not None:
            self._wait_for_body(conn, incoming)

    def _wait_for_body(self, conn: ClientConnection, incoming: Incoming) -> None:
        """Wait for the body of a request whose head is complete."""
        if incoming.request._expected_100_continue:
            conn.sock.sendall(CONTINUE)
        if incoming.longest > SMALL_BODY:
            self._await(conn, self.upload_conns, partial(self._read, incoming), UPLOAD_SECONDS)

    def _complete(self, conn: ClientConnection, incoming: Incoming) -> None:
        """Queue the request for a thread."""
        self._release(conn)
        request = incoming.request
        request.body = BytesIO(incoming.body)
        # gunicorn would send 100 Continue after the body has arrived.
        request._expected_100_continue = False
        conn.parser = iter((request,))
        conn.turn = turns.Turn()
        conn.timeout = time.monotonic() + self.patience
        conn.queue = self.whole_conns
        self.whole_conns.append(conn)
        self._give_turns()

    def _answered(self, conn: ClientConnection, fs: Future[Any]) -> None:
        """Send the rest of an answer that a thread has computed."""
        conn.parser = None
        conn.is_reusable = bool(not fs.cancelled() and not fs.exception() and fs.result())
        self._hold(conn, len(conn.sock.unsent))
        if conn.sock.unsent:
            self._await(conn, self.answering_conns, self._send, ANSWER_SECONDS, EVENT_WRITE)
        else:
            self._go_on(conn)

    def _send(self, conn: ClientConnection) -> None:
        try:
            conn.sock.flush()
        except OSError:
            self.close_conn(conn)
            return
        self._hold(conn, len(conn.sock.unsent))
        if not conn.sock.unsent:
            self._go_on(conn)

    def _go_on(self, conn: ClientConnection) -> None:
        """Reuse or close the connection after its answer was sent."""
        if conn.is_reusable:
            self._rest(conn)
        else:
            self._part(conn)
