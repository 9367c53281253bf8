"""Connections of clients, owned by the worker's main thread.

No thread waits for a client. The kernel may not accept all of an answer at once. The rest is kept,
and the main thread sends it when the client has read more.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from gunicorn.config import Config
from gunicorn.http import errors
from gunicorn.http.message import Request
from gunicorn.http.unreader import IterUnreader

from service.process.turns import Turn
from service.server.refusals import Refused

READ_BYTES = 64 * 1024

MAX_UNSENT = 16 * 1024 * 1024
"""Bytes of one answer that are kept at most. No answer is that long."""

Callback = Callable[["ClientConnection"], None]


class ClientSocket(socket.socket):
    """A non-blocking socket whose ``sendall`` accepts any amount."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.setblocking(False)
        self.unsent = bytearray()

    def sendall(self, data: Any, flags: int = 0) -> None:
        self.unsent += data
        if len(self.unsent) > MAX_UNSENT:
            raise BrokenPipeError("the client does not read its answer")
        self.flush()

    def flush(self) -> None:
        """Send as much as the kernel accepts. Raises ``OSError`` where the connection is broken."""
        while self.unsent:
            try:
                sent = super().send(self.unsent)
            except BlockingIOError:
                return
            del self.unsent[:sent]

    def received(self, wanted: int | None) -> bytes | None:
        """Read at most ``wanted`` bytes, or peek at them.

        Empty at the end of the connection; ``None`` where no data is available.
        """
        try:
            if wanted is None:
                return self.recv(READ_BYTES, socket.MSG_PEEK)
            return self.recv(wanted)
        except BlockingIOError:
            return None
        except OSError:
            return b""


class ClientConnection:
    """A client's connection and the request on it.

    ``queue`` and ``watched`` show what it waits for in the main thread. Both are ``None`` while a
    request thread owns it, and after it was closed.
    """

    def __init__(self, cfg: Config, sock: socket.socket, client: Any, server: Any) -> None:
        self.cfg = cfg
        self.sock = ClientSocket(sock.family, sock.type, sock.proto, fileno=sock.detach())
        self.client = client
        self.server = server
        # Attributes that gunicorn's worker reads.
        self.parser: Any = None
        self.initialized = True
        self.is_http2 = False
        self.data_ready = True
        self.timeout = 0.0
        """Deadline of the current wait, in monotonic seconds."""
        self.since = 0.0
        self.is_open = True
        self.queue: deque[ClientConnection] | None = None
        self.watched: Watched | None = None
        self.turn = Turn()
        self.requests = 0
        self.held = 0
        """Bytes that count against the server's memory."""
        self.drained = 0
        self.is_reusable = False

    def parse(self, head: bytes) -> Any:
        """gunicorn's request for a complete head. Raises its ``ParseException``, or ``Refused``."""
        self.requests += 1
        source = IterUnreader([head])
        try:
            request = Request(self.cfg, source, self.client, self.requests)
        except (errors.NoMoreData, StopIteration):
            raise Refused(400, "The request's head is not complete.") from None
        if source.take_buffered():
            raise Refused(400, "The request's head is not valid.")
        return request

    def init(self) -> None:
        """Do nothing. gunicorn calls it in a thread."""

    def close(self, graceful: bool = False) -> None:
        """Close the socket, without lingering."""
        with suppress(OSError):
            self.sock.close()


class Watched:
    """A registration with the poller, valid while the connection refers to it."""

    def __init__(self, conn: ClientConnection, callback: Callback) -> None:
        self.conn = conn
        self.callback = callback

    def run(self, close: Callback) -> None:
        """Call the callback, and ``close`` the connection where its client has broken it."""
        try:
            self.callback(self.conn)
        except ConnectionError:
            close(self.conn)


def answer_last(sock: socket.socket, answer: bytes) -> None:
    """Answer on a connection that is about to be closed without a lingering close.

    What the client has sent is read: a close with unread bytes would reset the connection.
    """
    with suppress(OSError):
        sock.setblocking(False)
        sock.send(answer)
        sock.shutdown(socket.SHUT_WR)
        sock.recv(READ_BYTES)
