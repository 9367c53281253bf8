"""One adopted socket: WebSocket frames in both directions, without blocking.

Used by the engine's thread only. A socket that has ended, or has data left to write, adds itself to
the ``attention`` set.
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
from service.media.transport.websocket_frames import FrameParser, Opcode

READ_BYTES = 4096

SEND_BUFFER = 32 * 1024
"""Kernel send buffer in bytes: small, to detect within seconds that a peer has stopped reading."""

FRAMES_A_SECOND = 500
"""Sustained rate of frames allowed: ten times that of audio in real time."""

FRAMES_AHEAD = 6000
"""Burst of frames allowed: a minute of audio in chunks of 10 ms."""

FLOOD = f"More than {FRAMES_A_SECOND} frames a second came for too long."

LOST = "connection lost"

LAST_ACK = struct.Struct("=56xI")
"""Position in Linux's ``tcp_info`` of the milliseconds since the last acknowledgement."""


class MediaSocket:
    """``Transport`` of a leg. Times are monotonic seconds."""

    def __init__(self, sock: socket.socket, clock: Clock, attention: set[MediaSocket]) -> None:
        sock.setblocking(False)
        with contextlib.suppress(OSError):
            # A Unix socket has no TCP_NODELAY, and a reset socket accepts no options.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self.opened = self.heard_at = clock.monotonic()
        self.reason: EndReason | None = None
        """Reason with which the leg's end is reported; ``None`` if the socket was lost."""
        self.detail = LOST
        self.ended = False
        """Whether the connection is over."""
        self.closing: float | None = None
        """Time at which this side's close frame was queued."""
        self.blocked: float | None = None
        """Time since which none of the queued data could be written."""
        self.peer_code: int | None = None
        """Code of the peer's close frame, if it closed first."""
        self.was_pinged = False
        self._answers_pings = False
        self.kept = 0
        """Reads of this socket that wait for the next tick."""
        self._trouble = "the peer closed it without a close frame"
        self._clock = clock
        self._attention = attention
        self.connection = FrameParser()
        """Parser of the incoming frames."""
        self._queue = SendQueue()
        self._stock = 0
        self._allowed = FRAMES_AHEAD

    @property
    def is_flooding(self) -> bool:
        """Whether the peer has sent more frames than allowed."""
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

    @property
    def unread(self) -> bytes:
        """Input that does not complete a message."""
        return self.connection.rest()

    @property
    def unsent(self) -> bytes:
        """Output that the kernel has not accepted."""
        return self._queue.rest()

    def resume(self, unsent: bytes, *, answers_pings: bool) -> None:
        """Continue a connection whose output so far ends with ``unsent``."""
        self._answers_pings = answers_pings
        if unsent:
            self._send(unsent)

    def take_stock(self, at: float) -> None:
        """Update the time of the last frame, and renew the allowance of frames; once a second.

        Bytes that do not complete a frame do not count.
        """
        frames = self.connection.frames
        if frames > self._stock:
            self._stock, self.heard_at = frames, at
        self._allowed = min(self._allowed + FRAMES_A_SECOND, frames + FRAMES_AHEAD)

    def has_acknowledged(self, seconds: float) -> bool:
        """Whether the other side's kernel has acknowledged data within this many ``seconds``.

        False if unknown: for a Unix socket, or on systems other than Linux.
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
        """Read up to ``READ_BYTES``. Returns ``None`` if there is no data, and ``b""`` at the end.

        At the end, call ``lose`` after all earlier data was handled.
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
        """End the connection, unless a close frame has ended it."""
        if not self.ended:
            self._lose(f"{LOST}: {self._trouble}")

    def messages(self, data: bytes) -> Iterator[bytes]:
        """Yield the text messages in ``data``; answer pings and the close handshake.

        Raises ``RemoteError`` if the peer breaks RFC 6455, sends binary messages or too many.
        """
        if self.closing is not None and self.is_flooding:
            return  # Do not search a flood for its close frame.
        for opcode, payload in self.connection.receive(data):
            if opcode == Opcode.CLOSE:
                self._closed_by_peer(payload)
            elif self.closing is not None:
                continue  # Messages after this side's close frame are ignored.
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
        """Write queued data until the socket blocks."""
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
        """Begin the close handshake; data queued before is still written."""
        if self.closing is None and not self.ended:
            self.closing = self._clock.monotonic()
            self.reason = reason
            self.detail = text or (reason.value if reason else "closed")
            self._send(websocket_frames.close_frame(code, text))

    def abort(self, detail: str) -> None:
        """Reset the connection without a handshake, and drop unwritten data."""
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
