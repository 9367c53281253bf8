"""The worker's main loop: connections, their deadlines, and closing them at the limits.

It never waits for a client. A fault of one connection never ends the process, because that would
end all calls.
"""

from __future__ import annotations

import errno
import os
import signal
import socket
import time
from abc import abstractmethod
from collections import deque
from collections.abc import Callable
from selectors import EVENT_READ, SelectorKey
from typing import Any

from gunicorn.workers.gthread import ThreadWorker

from service.process import file_descriptors
from service.server.clients import READ_BYTES, Callback, ClientConnection, Watched, answer_last
from service.server.connection_limit import ConnectionLimit
from service.server.refusals import Refused

LINGER_SECONDS = 2.0
LINGER_BYTES = 1024 * 1024
"""Lingering close: unread input is drained for this long and this many bytes, because closing with
unread data sends RST and loses the answer."""

HELD_BYTES = 32 * 1024 * 1024
"""Memory for incoming and waiting requests and for unsent answers. Beyond it the connection that
has waited the longest is closed."""

FAULT_SECONDS = 60.0
"""Minimum interval between logged faults. Each fault is counted."""

ACCEPT_PAUSE = 0.1
"""Pause after a failed ``accept``, in seconds. The listener stays readable."""

NOTHING_THERE = (errno.EAGAIN, errno.EWOULDBLOCK, errno.ECONNABORTED, errno.EINTR)

FULL = Refused(503, "The server has no room for another connection.", retry_after=5)


class ConnectionLoop(ThreadWorker):
    """gunicorn's loop with additional queues. It runs in the main thread.

    A connection that waits for its client is in one of these queues, each ordered by deadline.
    ``keepalived_conns`` have sent nothing of a request, ``pending_conns`` and ``upload_conns`` a
    part of one. ``answering_conns`` have not received their whole answer. ``lingering_conns`` are
    about to be closed.
    """

    ppid: int
    worker_connections: int
    max_keepalived: int
    max_requests: int

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.upload_conns: deque[ClientConnection] = deque()
        self.answering_conns: deque[ClientConnection] = deque()
        self.lingering_conns: deque[ClientConnection] = deque()
        self.on_fault: Callable[[], object] = lambda: None
        """Called for every fault."""
        self.memory = HELD_BYTES
        self.held = 0
        """Bytes of memory that clients occupy."""
        self._next_report = 0.0
        self._accepts_again = 0.0
        self._limit = ConnectionLimit()

    def init_process(self) -> None:
        self._spare = file_descriptors.Spare()
        # Idle connections must not take the descriptors of calls.
        self.worker_connections = min(self.worker_connections, file_descriptors.limit() // 2)
        self.max_keepalived = min(self.max_keepalived, self.worker_connections - 1)
        super().init_process()

    def accept(self, listener: socket.socket) -> None:
        try:
            sock, address = listener.accept()
        except OSError as error:
            if error.errno in file_descriptors.NONE_LEFT:
                if not self._make_room():
                    self._turn_away(listener)
            elif error.errno not in NOTHING_THERE:
                # For example ENOBUFS, or a network error of the accepted connection.
                self._pause_accepting()
            return
        conn = ClientConnection(self.cfg, sock, address, listener.getsockname())
        self.nr_conns += 1
        is_last = file_descriptors.is_last(conn.sock.fileno())
        now = time.monotonic()
        allowed = self._limit.allowed(self.worker_connections, self.nr_conns, is_last, now)
        if self.nr_conns >= allowed and not self._make_room() and is_last:
            # Threads own all other connections and soon finish some: new ones wait.
            self._pause_accepting()
        self.welcome(conn)

    @abstractmethod
    def welcome(self, conn: ClientConnection) -> None:
        """Wait for the first request of a connection that was accepted."""

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        if self._accepts_again:
            timeout = min(timeout, ACCEPT_PAUSE)
            if self._accepts_again <= time.monotonic():
                self._accepts_again = 0.0
                self.set_accept_enabled(self.alive)
        for key, _ in self.poller.select(timeout):
            self.dispatch(key)

    def is_parent_alive(self) -> bool:
        """Return True. Where gunicorn's master is gone, send this process SIGTERM.

        So live calls are handed over before the worker ends.
        """
        parent = os.getppid()
        if parent != self.ppid:
            self.log.warning("The master is gone: the worker ends.")
            self.ppid = parent
            os.kill(os.getpid(), signal.SIGTERM)
        return True

    def set_accept_enabled(self, enabled: bool) -> None:
        """Close the listeners while ending, so that the next server can bind the port.

        Connections that are queued on an open listener would never be answered.
        """
        super().set_accept_enabled(enabled and not self._accepts_again)
        if not self.alive:
            for listener in self.sockets:
                listener.close()

    def murder_keepalived(self, force: bool = False) -> None:
        self._close_overdue(self.keepalived_conns, force)

    def murder_pending(self) -> None:
        for queue in (
            self.pending_conns,
            self.upload_conns,
            self.answering_conns,
            self.lingering_conns,
        ):
            self._close_overdue(queue)

    def _close_overdue(self, queue: deque[ClientConnection], force: bool = False) -> None:
        while queue and (force or queue[0].timeout <= time.monotonic()):
            self.close_conn(queue[0])

    def _cap_keepalive(self, deadline: float) -> None:
        for queue in self._queues():
            for conn in queue:
                conn.timeout = min(conn.timeout, deadline)

    def _queues(self) -> tuple[deque[ClientConnection], ...]:
        """Return the queues whose connections wait for their client."""
        return (
            self.lingering_conns,
            self.pending_conns,
            self.upload_conns,
            self.answering_conns,
            self.keepalived_conns,
        )

    def dispatch(self, key: SelectorKey) -> None:
        """Run a callback, unless an earlier one has closed its connection."""
        watched = key.data
        if not isinstance(watched, Watched):
            self._contained(None, watched, key.fileobj)
        elif watched.conn.watched is watched:
            self._contained(watched.conn, watched.run, self.close_conn)

    def _contained(
        self, conn: ClientConnection | None, call: Callable[..., object], *arguments: Any
    ) -> None:
        """Call, and catch every exception, because the process holds all calls."""
        try:
            call(*arguments)
        except Exception:
            self.on_fault()
            now = time.monotonic()
            if now >= self._next_report:
                self._next_report = now + FAULT_SECONDS
                self.log.exception("A connection failed and was closed.")
            if conn is not None:
                self.close_conn(conn)
            else:
                self._pause_accepting()

    def _refuse(self, conn: ClientConnection, refused: Refused) -> None:
        try:
            conn.sock.sendall(refused.answer())
        except OSError:
            self.close_conn(conn)
            return
        self._part(conn)

    def _part(self, conn: ClientConnection) -> None:
        """Close the connection after its client has received the end of the answer."""
        self._hold(conn, 0)
        try:
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.close_conn(conn)
            return
        self._await(conn, self.lingering_conns, self._drain, LINGER_SECONDS)
        self._drain(conn)

    def _drain(self, conn: ClientConnection) -> None:
        data = conn.sock.received(READ_BYTES)
        if data is None:
            return
        conn.drained += len(data)
        if not data or conn.drained > LINGER_BYTES:
            self.close_conn(conn)

    def _make_room(self) -> bool:
        """Close the connection that has waited for its client the longest, if there is one.

        A client that has asked or may be about to is answered: a silent close would be a reset.
        """
        waiting = [queue[0] for queue in self._queues() if queue]
        conn = min(waiting, key=lambda conn: conn.since, default=None)
        if conn is None:
            return False
        if self._awaits_answer(conn):
            answer_last(conn.sock, FULL.answer())
        self.close_conn(conn)
        return True

    def _awaits_answer(self, conn: ClientConnection) -> bool:
        if conn.queue is self.keepalived_conns:
            return conn.requests == 0 or bool(conn.sock.received(None))
        return conn.queue is self.pending_conns or conn.queue is self.upload_conns

    def _hold(self, conn: ClientConnection, size: int) -> None:
        """Count the memory of a connection, and make room where it exceeds the limit."""
        self.held += size - conn.held
        conn.held = size
        while self.held > self.memory and self._make_room():
            pass

    def _turn_away(self, listener: socket.socket) -> None:
        """Refuse the newest connection where no descriptor is left for it."""
        with self._spare.lent():
            try:
                sock, _ = listener.accept()
            except OSError:
                self._pause_accepting()
                return
            with sock:
                answer_last(sock, FULL.answer())

    def _pause_accepting(self) -> None:
        """Stop accepting for a moment: the listener stays readable, and the loop would spin."""
        self._accepts_again = time.monotonic() + ACCEPT_PAUSE
        self.set_accept_enabled(False)

    def _await(
        self,
        conn: ClientConnection,
        queue: deque[ClientConnection],
        callback: Callback,
        seconds: float,
        event: int = EVENT_READ,
    ) -> None:
        self._release(conn)
        conn.since = time.monotonic()
        conn.timeout = conn.since + seconds
        conn.queue = queue
        queue.append(conn)
        watched = Watched(conn, callback)
        self.poller.register(conn.sock, event, watched)
        conn.watched = watched

    def _release(self, conn: ClientConnection) -> None:
        if conn.queue is not None:
            conn.queue.remove(conn)
            conn.queue = None
        if conn.watched is not None:
            conn.watched = None
            self.poller.unregister(conn.sock)

    def close_conn(self, conn: ClientConnection) -> None:
        if not conn.is_open:
            return
        conn.is_open = False
        self.nr_conns -= 1
        self.held -= conn.held
        conn.held = 0
        try:
            self._release(conn)
        except (KeyError, ValueError, OSError):
            # A sign of inconsistent queues; it must not end the loop.
            self.on_fault()
        conn.close()
