"""The remote end of an adopted socket: loopback TCP and the ``websockets`` library's protocol."""

from __future__ import annotations

import contextlib
import socket
from collections import deque
from types import TracebackType
from typing import Self

from websockets.frames import Frame, Opcode
from websockets.protocol import SEND_EOF, Protocol, Side

PATIENCE = 60
"""Seconds after which a silent socket fails its test."""


def connection(receive_buffer: int | None = None) -> tuple[socket.socket, socket.socket]:
    """Return both ends of a TCP connection, ours first; theirs may have a small receive buffer."""
    theirs = socket.socket()
    # Otherwise a message waits until the previous one is acknowledged.
    theirs.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if receive_buffer is not None:
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        theirs.connect(listener.getsockname())
        ours, _ = listener.accept()
    theirs.settimeout(PATIENCE)
    return ours, theirs


class FarEnd:
    """A WebSocket client after its handshake.

    It answers pings and close frames while ``read`` waits.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._protocol = Protocol(Side.CLIENT, max_size=None)
        self._frames: deque[Frame] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.sock.close()

    def send(self, message: bytes) -> None:
        """Send one text message."""
        self._protocol.send_text(message)
        self._flush()

    def send_fragments(self, *fragments: bytes) -> None:
        """Send one text message in fragments, with pings between them."""
        for place, fragment in enumerate(fragments):
            final = place == len(fragments) - 1
            if place:
                self._protocol.send_ping(b"between")
                self._protocol.send_continuation(fragment, fin=final)
            else:
                self._protocol.send_text(fragment, fin=final)
        self._flush()

    def send_binary(self, message: bytes) -> None:
        self._protocol.send_binary(message)
        self._flush()

    def ping(self, payload: bytes) -> None:
        self._protocol.send_ping(payload)
        self._flush()

    def pong(self) -> None:
        self._protocol.send_pong(b"")
        self._flush()

    def send_close(self, code: int | None = None, reason: str = "") -> None:
        self._protocol.send_close(code, reason)
        self._flush()

    def send_raw(self, data: bytes) -> None:
        """Send bytes, which need not be WebSocket frames."""
        self.sock.sendall(data)

    def read_raw(self) -> bytes:
        """Read until the end of the connection, and answer nothing."""
        data = b""
        while piece := self.sock.recv(65_536):
            data += piece
        return data

    def read(self) -> Frame | None:
        """Return the next frame; ``None`` at the end of the connection."""
        while not self._frames:
            data = self.sock.recv(65_536)
            if not data:
                return None
            self._protocol.receive_data(data)
            assert self._protocol.parser_exc is None
            self._frames.extend(
                event for event in self._protocol.events_received() if isinstance(event, Frame)
            )
            with contextlib.suppress(ConnectionError):  # The answer may be too late.
                self._flush()
        return self._frames.popleft()

    def read_text(self) -> bytes:
        """Return the next text message; skip other frames."""
        while True:
            frame = self.read()
            assert frame is not None, "The connection is over."
            if frame.opcode is Opcode.TEXT:
                return bytes(frame.data)

    def settle(self) -> list[bytes]:
        """Wait until everything sent is handled; return the text messages received meanwhile."""
        self.ping(b"settle")
        messages: list[bytes] = []
        while True:
            frame = self.read()
            assert frame is not None, "The connection is over."
            if frame.opcode is Opcode.PONG and frame.data == b"settle":
                return messages
            if frame.opcode is Opcode.TEXT:
                messages.append(bytes(frame.data))

    def read_close(self) -> tuple[int | None, str]:
        """Return code and reason of the close frame, after which the connection must end."""
        while True:
            frame = self.read()
            assert frame is not None, "The connection ended without a close frame."
            if frame.opcode is Opcode.CLOSE:
                break
        with contextlib.suppress(ConnectionResetError):  # After a late answer it is reset.
            assert self.read() is None
        assert self._protocol.close_rcvd is not None
        code: int = self._protocol.close_rcvd.code
        return (None if code == 1005 else code), self._protocol.close_rcvd.reason

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data is not SEND_EOF:
                self.sock.sendall(data)


class Client(FarEnd):
    """A client of a socket that a test adopts: ``ours``."""

    def __init__(self, receive_buffer: int | None = None) -> None:
        self.ours, theirs = connection(receive_buffer)
        super().__init__(theirs)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        super().__exit__(kind, error, trace)
        self.ours.close()
