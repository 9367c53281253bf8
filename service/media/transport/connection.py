"""One adopted socket: WebSocket frames in both directions, without ever blocking.

A peer belongs to the engine's thread and never calls back. What the engine must look at, an end
or something left to write, it announces by putting itself into the ``attention`` set.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
from collections.abc import Iterator

from service.clock import Clock
from service.domain.calls import EndReason
from service.errors import RemoteError
from service.media.transport import websocket_frames
from service.media.transport.send_queue import SendQueue
from service.media.transport.websocket_frames import Connection, Opcode

READ_BYTES = 4096

SEND_BUFFER = 32 * 1024
"""Kernel send buffer in bytes: small, so that a peer that stops reading is noticed in seconds."""

FRAMES_A_SECOND = 500
"""Frames that a peer may send for long: ten times as many as audio in real time needs."""

FRAMES_AHEAD = 6000
"""Frames that it may send at once: a minute of audio in pieces of 10 ms."""

FLOOD = f"More than {FRAMES_A_SECOND} frames a second came for too long."

LOST = "connection lost"

LAST_ACK = struct.Struct("=56xI")
"""Where Linux's ``tcp_info`` has the milliseconds since the other side acknowledged something."""


class MediaSocket:
    """The ``Line`` of a leg. Times are monotonic seconds."""

    def __init__(self, sock: socket.socket, clock: Clock, attention: set[MediaSocket]) -> None:
        sock.setblocking(False)
        with contextlib.suppress(OSError):
            # A Unix socket has no Nagle to turn off, and one that was reset takes no options.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self.opened = self.heard_at = clock.monotonic()
        self.reason: EndReason | None = None
        """What the end of the leg is reported with; ``None`` where the socket was just lost."""
        self.detail = LOST
        self.ended = False
        """Whether the socket is of no more use."""
        self.closing: float | None = None
        """When our close frame was queued."""
        self.blocked: float | None = None
        """Since when the socket has taken nothing of what is queued."""
        self.peer_code: int | None = None
        """The code of the peer's close frame, where it closed first."""
        self.was_pinged = False
        self._answers_pings = False
        self.kept = 0
        """Reads of this socket that are kept until the next tick."""
        self._trouble = "the peer closed it without a close frame"
        self._clock = clock
        self._attention = attention
        self.connection = Connection()
        """What has come in frames that are not finished."""
        self._queue = SendQueue()
        self._stock = 0
        self._allowed = FRAMES_AHEAD

    @property
    def is_flooding(self) -> bool:
        """Whether the peer has sent more frames than anybody needs to."""
        return self.connection.frames > self._allowed

    @property
    def answers_pings(self) -> bool:
        return self._answers_pings

    @property
    def dropped(self) -> int:
        return self._queue.dropped

    @property
    def wants_write(self) -> bool:
        return bool(self._queue)

    def take_stock(self, at: float) -> None:
        """Note whether anything has come, and allow the next frames. To be called once a second.

        Bytes that never make a frame are no sign of life.
        """
        frames = self.connection.frames
        if frames > self._stock:
            self._stock, self.heard_at = frames, at
        self._allowed = min(self._allowed + FRAMES_A_SECOND, frames + FRAMES_AHEAD)

    def has_acknowledged(self, seconds: float) -> bool:
        """Whether the other side's kernel has acknowledged anything for so long.

        False where the system does not say: a Unix socket, or no Linux.
        """
        if sys.platform != "linux":
            return False
        try:
            info = self.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, LAST_ACK.size)
            (milliseconds,) = LAST_ACK.unpack(info)
        except (OSError, struct.error):
            return False
        return bool(milliseconds < seconds * 1000)

    def receive(self) -> bytes | None:
        """What has come, up to ``READ_BYTES``: ``None`` where nothing has, and no bytes at the end.

        At the end ``lose`` is to be called, after everything was looked at that came before.
        """
        try:
            data = self.sock.recv(READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError as error:
            self._trouble = error.strerror or self._trouble
            return b""
        return data

    def lose(self) -> None:
        """The connection has ended; without a close frame, unless one was among what came."""
        if not self.ended:
            self._lose(f"{LOST}: {self._trouble}")

    def messages(self, data: bytes) -> Iterator[bytes]:
        """The text messages in what was received; answers pings and the close handshake.

        Raises ``RemoteError``, also while the messages are looked at one by one, where the peer
        breaks RFC 6455, sends binary messages or too many.
        """
        if self.closing is not None and self.is_flooding:
            return  # Its close frame is not worth the search.
        for opcode, payload in self.connection.receive(data):
            if opcode == Opcode.CLOSE:
                self._closed_by_peer(payload)
            elif self.closing is not None:
                continue  # Whatever the peer says after our close frame is not for us.
            elif self.is_flooding:
                raise RemoteError(FLOOD, close_code=1008)
            elif opcode == Opcode.TEXT:
                yield payload
            elif opcode == Opcode.PING:
                self._send(websocket_frames.frame(Opcode.PONG, payload))
            elif opcode == Opcode.PONG:
                self._answers_pings = True
            elif opcode == Opcode.BINARY:
                raise RemoteError("Binary messages are not understood here.", close_code=1003)

    def write(self) -> None:
        """Write what the socket takes of what is queued."""
        try:
            while self._queue:
                self._queue.wrote(self.sock.send(self._queue.head()))
                self.blocked = self._clock.monotonic()
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._lose(f"{LOST}: {error.strerror}")
        if not self._queue:
            self.blocked = None

    def text(self, message: bytes) -> None:
        if self.closing is None:
            self._send(websocket_frames.frame(Opcode.TEXT, message))

    def ping(self) -> None:
        if self.closing is None:
            self.was_pinged = True
            self._send(websocket_frames.frame(Opcode.PING, b""))

    def around(self, prefix: bytes, suffix: bytes, length: int) -> tuple[bytes, bytes]:
        size = len(prefix) + length + len(suffix)
        return websocket_frames.header(Opcode.TEXT, size) + prefix, suffix

    def audio(self, frame: bytes) -> None:
        if self.closing is None:
            self._send(frame, audio=True)

    def forget_audio(self) -> None:
        self._queue.forget_audio()

    def hang_up(self, code: int, text: str, reason: EndReason | None) -> None:
        """Begin the close handshake; what was queued before is still written."""
        if self.closing is None and not self.ended:
            self.closing = self._clock.monotonic()
            self.reason = reason
            self.detail = text or (reason.value if reason else "closed")
            self._send(websocket_frames.close_frame(code, text))

    def abort(self, detail: str) -> None:
        """Give the socket up without a handshake, and without keeping what was not written."""
        linger = struct.pack("ii", 1, 0)
        with contextlib.suppress(OSError):
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._lose(detail)

    def _send(self, data: bytes, *, audio: bool = False) -> None:
        if self.ended:
            return
        sent = 0
        if self.blocked is None:
            try:
                sent = self.sock.send(data)
            except (BlockingIOError, InterruptedError):
                pass
            except OSError as error:
                self._lose(f"{LOST}: {error.strerror}")
                return
            if sent == len(data):
                return
            self.blocked = self._clock.monotonic()
        if not self._queue.push(data, audio=audio):
            self.abort("the peer has stopped reading")
            return
        if sent:
            self._queue.wrote(sent)
        self._attention.add(self)

    def _closed_by_peer(self, payload: bytes) -> None:
        code, _ = websocket_frames.parse_close(payload)
        if self.closing is None:
            self.peer_code = code
            self.detail = f"closed by the peer with code {code}"
            self._send(websocket_frames.close_frame(code))
        self._end()

    def _lose(self, detail: str) -> None:
        if self.closing is None:
            self.detail = detail
        self._end()

    def _end(self) -> None:
        self.ended = True
        self._attention.add(self)
