"""The gunicorn worker: a request costs a thread once it is there as a whole, and not before.

gunicorn's own worker reads in its threads and closes in its main thread. So as many clients as
there are threads, each with half a request, or a few that do not close what is over, keep everybody
else waiting. Here the main thread reads what is there, waits for nobody, and has a deadline for
everybody.

Of its threads only a few do something at a time. Each that is runnable makes the media engine wait
for its turn with the interpreter, fifty times a second for every call.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import time
from collections import deque
from concurrent.futures import Future
from functools import partial
from selectors import EVENT_READ
from typing import Any

from gunicorn.workers.gthread import TConn, ThreadWorker

from service.framing import Arriving, Standing

ARRIVAL_SECONDS = 10.0
"""How long a request may take, from its first byte to its last."""

ANSWER_SECONDS = 5.0
"""How long a client may take nothing of its answer, or give nothing of a body that is large."""

LINGER_SECONDS = 2.0
LINGER_BYTES = 1024 * 1024
"""How long, and for how much, a connection that is over stays open at the other side's end, since
closing it with something unread in it would take the answer back."""

AT_ONCE = 2
"""Requests that threads are given at a time."""

PATIENCE = 0.025
"""Seconds after which one is given to a thread all the same. Where it takes longer, those before it
wait themselves, for the database or a provider, and keep nobody from the interpreter."""

READ_BYTES = 64 * 1024

TOO_LONG = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"Connection: close\r\nContent-Length: 0\r\n\r\n"
)

NOTHING_THERE = (errno.EAGAIN, errno.EWOULDBLOCK, errno.ECONNABORTED)
NO_DESCRIPTORS = (errno.EMFILE, errno.ENFILE)


class Connection(TConn):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.arriving = Arriving()
        self.is_whole = True
        self.drained = 0


class Worker(ThreadWorker):
    """Every method but ``handle_request`` and ``_keepalive_after`` is the main thread's.

    A connection that no thread has is in one of four queues, each in the order of deadlines:
    ``keepalived_conns`` have sent nothing of a request yet, ``pending_conns`` a part and
    ``whole_conns`` all of it, and ``lingering_conns`` are over.
    """

    ppid: int

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._busy = 0
        self.whole_conns: deque[Connection] = deque()
        self.lingering_conns: deque[Connection] = deque()

    def is_parent_alive(self) -> bool:
        """True, also where it is not: without gunicorn's master, end as on SIGTERM.

        So live calls are handed over, and nothing ends before that.
        """
        parent = os.getppid()
        if parent != self.ppid:
            self.log.warning("The master is gone: the worker ends.")
            self.ppid = parent
            os.kill(os.getpid(), signal.SIGTERM)
        return True

    def set_accept_enabled(self, enabled: bool) -> None:
        """On the way out close the listeners, so that the next server can have the port.

        Until the last connection has ended, more would queue here whom nobody answers.
        """
        super().set_accept_enabled(enabled)
        if not self.alive:
            for listener in self.sockets:
                listener.close()

    def accept(self, listener: socket.socket) -> None:
        try:
            sock, address = listener.accept()
        except OSError as error:
            if error.errno in NO_DESCRIPTORS:
                self._make_room()
            elif error.errno not in NOTHING_THERE:
                raise
            return
        self.nr_conns += 1
        if self.nr_conns >= self.worker_connections:
            self._make_room()
        self._rest(Connection(self.cfg, sock, address, listener.getsockname()))

    def on_client_socket_readable(self, conn: Connection, client: socket.socket) -> None:
        self._release(conn, self.keepalived_conns)
        self._begin(conn, b"")

    def on_pending_socket_readable(self, conn: Connection, client: socket.socket) -> None:
        data = _received(client)
        if data is not None:
            self._take(conn, data)

    def enqueue_req(self, conn: Connection) -> None:
        conn.timeout = time.monotonic() + PATIENCE
        self.whole_conns.append(conn)
        self._give_turns()

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        super().wait_for_and_dispatch_events(
            min(timeout, PATIENCE) if self.whole_conns else timeout
        )
        self._give_turns()

    def handle_request(self, req: Any, conn: Connection) -> Any:
        conn.sock.settimeout(ANSWER_SECONDS)
        try:
            return super().handle_request(req, conn)
        except TimeoutError:
            self.log.debug("A client took nothing of its answer for too long.")
            return False

    def finish_request(self, conn: Connection, fs: Future[Any]) -> None:
        self._busy -= 1
        self._give_turns()
        if fs.cancelled() or fs.exception() or not fs.result():
            self._part(conn)
            return
        conn.sock.setblocking(False)
        conn.arriving = Arriving()
        following = conn.parser.unreader.take_buffered()
        if following:
            self._begin(conn, following)
        else:
            self._rest(conn)

    def murder_pending(self) -> None:
        super().murder_pending()
        while self.lingering_conns and self.lingering_conns[0].timeout <= time.monotonic():
            self._drop(self.lingering_conns[0], self.lingering_conns)

    def _cap_keepalive(self, deadline: float) -> None:
        for queue in (self.keepalived_conns, self.pending_conns, self.lingering_conns):
            for conn in queue:
                conn.timeout = min(conn.timeout, deadline)

    def _keepalive_after(self, conn: Connection, keepalive: bool) -> bool:
        # Where the next request begins is not known as long as this one goes on.
        return conn.is_whole and super()._keepalive_after(conn, keepalive)

    def _give_turns(self) -> None:
        while self.whole_conns and (
            self._busy < AT_ONCE or self.whole_conns[0].timeout <= time.monotonic()
        ):
            self._busy += 1
            super().enqueue_req(self.whole_conns.popleft())

    def _rest(self, conn: Connection) -> None:
        """Wait for the next request."""
        conn.set_timeout()
        if not self.alive:
            conn.timeout = min(conn.timeout, time.monotonic() + LINGER_SECONDS)
        self._await(conn, self.keepalived_conns, self.on_client_socket_readable)

    def _begin(self, conn: Connection, data: bytes) -> None:
        """A request has begun with ``data``, or with what the socket has to give."""
        conn.timeout = time.monotonic() + ARRIVAL_SECONDS
        self._await(conn, self.pending_conns, self.on_pending_socket_readable)
        if data:
            self._take(conn, data)
        else:
            self.on_pending_socket_readable(conn, conn.sock)

    def _take(self, conn: Connection, data: bytes) -> None:
        """More of a request: empty is the end of the connection."""
        if not data:
            self._drop(conn, self.pending_conns)
            return
        standing = conn.arriving.feed(data)
        if standing is Standing.PART:
            return
        self._release(conn, self.pending_conns)
        if standing is Standing.ENDLESS:
            with contextlib.suppress(OSError):
                conn.sock.send(TOO_LONG)
            self._part(conn)
            return
        conn.is_whole = standing is Standing.WHOLE
        conn.data_ready = True
        conn.init()
        conn.parser.unreader.unread(bytes(conn.arriving.data))
        self.enqueue_req(conn)

    def _part(self, conn: Connection) -> None:
        """Nothing more is said: wait a little for the other side to see that."""
        try:
            conn.sock.setblocking(False)
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._close(conn)
            return
        conn.timeout = time.monotonic() + LINGER_SECONDS
        self._await(conn, self.lingering_conns, self._drain)
        self._drain(conn, conn.sock)

    def _drain(self, conn: Connection, client: socket.socket) -> None:
        data = _received(client)
        if data is None:
            return
        conn.drained += len(data)
        if not data or conn.drained > LINGER_BYTES:
            self._drop(conn, self.lingering_conns)

    def _make_room(self) -> None:
        """Close the connection that can best be done without, and has been there the longest."""
        for queue in (self.lingering_conns, self.pending_conns, self.keepalived_conns):
            if queue:
                self._drop(queue[0], queue)
                return

    def _await(self, conn: Connection, queue: deque[Connection], readable: Any) -> None:
        queue.append(conn)
        self.poller.register(conn.sock, EVENT_READ, partial(readable, conn))

    def _release(self, conn: Connection, queue: deque[Connection]) -> None:
        queue.remove(conn)
        self.poller.unregister(conn.sock)

    def _drop(self, conn: Connection, queue: deque[Connection]) -> None:
        self._release(conn, queue)
        self._close(conn)

    def _close(self, conn: Connection) -> None:
        self.nr_conns -= 1
        conn.close()


def _received(sock: socket.socket) -> bytes | None:
    """What a socket has to give now, empty at its end; ``None`` where that is nothing."""
    try:
        return sock.recv(READ_BYTES)
    except BlockingIOError:
        return None
    except OSError:
        return b""
