"""The listener: one thread that answers the other nodes of this machine.

It never waits for the rest of a message, which it reads as it arrives. It waits for its own engine,
which answers between two ticks, and for a node to read an answer, each for a second at most. Its
handler asks no other node, because two nodes that ask each other would wait for each other.
"""

from __future__ import annotations

import logging
import os
import selectors
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from service.cluster import channel
from service.cluster.address import address, require_private
from service.cluster.channel import Frame, FrameReader
from service.cluster.codec import Malformed
from service.cluster.messages import Answer, Message, Rejected, decode, encode
from service.process.background import BackgroundThread

logger = logging.getLogger(__name__)

BACKLOG = 64

ACCEPT_PAUSE = 0.1
"""Pause after a failed ``accept``, in seconds. The listening socket stays readable."""

ANSWER_SECONDS = 1.0
"""Seconds that a node may take to read its answer."""

Handle = Callable[[Message, Frame], Answer]
"""Acts on a message. It takes the descriptor of the frame, or leaves it to be closed."""


class Listener(BackgroundThread):
    """``refused`` is called for each message and connection that is refused."""

    def __init__(
        self,
        folder: Path,
        node_id: str,
        handle: Handle,
        refused: Callable[[], object] = lambda: None,
    ) -> None:
        super().__init__("cluster")
        self._folder = folder
        self._path = address(folder, node_id)
        self._hidden = address(folder, f".{node_id}")
        self._handle = handle
        self._readers: dict[socket.socket, FrameReader] = {}
        self._waker, self._woken = socket.socketpair()
        self._refused = refused
        self._accepts = True

    def stop(self, seconds: float | None = None) -> None:
        """Remove the address, and end the thread."""
        with suppress(OSError):
            self._waker.send(b"\0")
        super().stop(seconds)
        if self._thread is None:
            self._woken.close()
        self._waker.close()

    def _prepare(self) -> None:
        require_private(self._folder)
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with suppress(FileNotFoundError):
            os.unlink(self._hidden)
        self._listening.bind(self._hidden)
        self._listening.listen(BACKLOG)
        self._listening.setblocking(False)
        # The address appears only now, so a node that finds it can connect.
        os.rename(self._hidden, self._path)

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector, self._listening, self._woken:
            self._selector = selector
            selector.register(self._listening, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            while not self._stopping.is_set():
                for key, _ in selector.select():
                    if key.fileobj is self._listening:
                        self._accept()
                    elif isinstance(key.fileobj, socket.socket) and key.fileobj is not self._woken:
                        self._serve(key.fileobj)
            with suppress(FileNotFoundError):
                os.unlink(self._path)
            for sock in list(self._readers):
                self._drop(sock)

    def _accept(self) -> None:
        try:
            sock, _ = self._listening.accept()
        except OSError as error:
            if self._accepts:
                logger.warning("a connection of another worker is not accepted: %s", error)
            self._accepts = False
            self._stopping.wait(ACCEPT_PAUSE)
            return
        self._accepts = True
        if not channel.is_own_user(sock):
            self._refuse("it comes from a process of another user")
            sock.close()
            return
        sock.setblocking(False)
        self._readers[sock] = FrameReader(sock)
        self._selector.register(sock, selectors.EVENT_READ)

    def _serve(self, sock: socket.socket) -> None:
        try:
            frame = self._readers[sock].read()
        except (BlockingIOError, InterruptedError):
            return
        except (EOFError, OSError):
            self._drop(sock)
            return
        except Malformed as error:
            # The next message on this connection cannot be found.
            self._refuse(str(error))
            self._drop(sock)
            return
        if frame is None:
            return
        try:
            answer = self._answer(frame)
        finally:
            frame.close()
        try:
            sock.settimeout(ANSWER_SECONDS)
            channel.send(sock, encode(answer))
            sock.setblocking(False)
        except OSError:
            self._drop(sock)

    def _answer(self, frame: Frame) -> Answer:
        try:
            return self._handle(decode(frame.body), frame)
        except Malformed as error:
            self._refuse(str(error))
            return Rejected(str(error))
        except TimeoutError as error:
            return Rejected(str(error))
        except Exception:
            logger.exception("a message of another worker failed")
            return Rejected("The message could not be acted on.")

    def _refuse(self, sentence: str) -> None:
        self._refused()
        logger.warning("a message of another worker is refused: %s", sentence)

    def _drop(self, sock: socket.socket) -> None:
        self._selector.unregister(sock)
        self._readers.pop(sock).close()
        sock.close()
