"""RFC 6455 framing for the server side of a socket whose handshake is done. No I/O.

``receive`` turns bytes into whole messages and control frames; ``frame`` and ``close_frame`` build
frames to send. No extension is ever negotiated on media sockets, so every
reserved bit is an error. Section numbers in comments are RFC 6455's.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator
from enum import IntEnum

from websockets.utils import apply_mask

from service.errors import RemoteError

# The websockets library's C code needs a sixth of Python's time.
with contextlib.suppress(ImportError):
    from websockets.speedups import apply_mask

MAX_MESSAGE = 64 * 1024
"""Largest message in bytes, fragments together: the limit the strictest provider documents."""


class Opcode(IntEnum):
    CONTINUATION = 0x0
    TEXT = 0x1
    BINARY = 0x2
    CLOSE = 0x8
    PING = 0x9
    PONG = 0xA


NO_STATUS = 1005
"""Code of a close frame without a code (7.1.5); never sent."""

_SENDABLE = frozenset({1000, 1001, 1002, 1003, *range(1007, 1015), *range(3000, 5000)})
"""Close codes that may stand in a close frame (7.4.1, 7.4.2 and the IANA registry)."""


class FrameParser:
    """Parser of one peer's frames; it holds an incomplete frame and an incomplete message."""

    __slots__ = ("_buffer", "_closed", "_fragments", "_opcode", "_size", "at_rest", "frames")

    def __init__(self) -> None:
        self.at_rest = True
        """Whether no frame and no message is incomplete, and more may follow."""
        self.frames = 0
        """Number of whole frames received."""
        self._buffer = b""
        self._opcode: int | None = None
        self._fragments: list[bytes] = []
        self._size = 0
        self._closed = False

    def sole_text(self, data: bytes) -> bytes | None:
        """Return the payload if ``data`` is one text message in one frame, as audio is.

        ``None`` for anything else, and for messages shorter than 126 bytes or not in ASCII, which
        ``receive`` parses. The parser's state does not change.
        """
        if (
            len(data) < 134
            or data[0] != 0x81
            or data[1] != 0xFE
            or len(data) - 8 != data[2] << 8 | data[3]
            or not self.at_rest
        ):
            return None
        payload = apply_mask(data[8:], data[4:8])
        return payload if payload.isascii() else None

    def rest(self) -> bytes:
        """Return what has arrived of an incomplete message, for another parser to receive."""
        if self._opcode is None:
            return self._buffer
        # Masked with zeros, which change nothing.
        begun = header(Opcode(self._opcode), self._size)
        head = bytes((begun[0] & 0x0F, begun[1] | 0x80)) + begun[2:] + bytes(4)
        return b"".join((head, *self._fragments, self._buffer))

    def receive(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield ``(opcode, payload)`` for every whole message and control frame in ``data``.

        Text payloads are valid UTF-8, close payloads are well formed. Raises ``RemoteError``
        with the close code to send. Nothing that follows a close frame is read.
        """
        self.at_rest = False
        if self._buffer:
            # Emptied first: after an error the rest of this frame must not precede later data.
            data, self._buffer = self._buffer + data, b""
        position, end = 0, len(data)
        while end - position >= 2 and not self._closed:
            first, second = data[position], data[position + 1]
            length = second & 0x7F
            start = position + 6
            self._check_header(first, second)
            if length == 126:
                if end - position < 4:
                    break
                length = data[position + 2] << 8 | data[position + 3]
                start += 2
                if length < 126:
                    raise RemoteError("A frame's length is not in its shortest form.")
            elif length == 127:
                if end - position < 10:
                    break
                (length,) = struct.unpack_from("!Q", data, position + 2)
                start += 8
                if length < 65_536:
                    raise RemoteError("A frame's length is not in its shortest form.")
            # A control frame (bit 3) between fragments is no part of their message.
            if length + self._size > MAX_MESSAGE and not first & 0x08:
                raise RemoteError(f"A message is larger than {MAX_MESSAGE} bytes.", close_code=1009)
            stop = start + length
            if end < stop:
                break
            payload = apply_mask(data[start:stop], data[start - 4 : start])
            position = stop
            self.frames += 1
            if first == 0x81 and payload.isascii():
                # An unfragmented text message, as audio is.
                yield first & 0x0F, payload
                continue
            message = self._accept(first & 0x80, first & 0x0F, payload)
            if message is not None:
                yield message
        self._buffer = data[position:] if position < end and not self._closed else b""
        self.at_rest = not self._buffer and self._opcode is None and not self._closed

    def _check_header(self, first: int, second: int) -> None:
        opcode = first & 0x0F
        if first & 0x70:
            raise RemoteError("A reserved bit is set, and no extension was negotiated.")
        if not second & 0x80:
            raise RemoteError("A frame from the client is not masked.")
        if opcode >= 0x8:
            if opcode > Opcode.PONG:
                raise RemoteError(f"Opcode {opcode} is reserved.")
            if not first & 0x80:
                raise RemoteError("A control frame is fragmented.")
            if second & 0x7F > 125:
                raise RemoteError("A control frame is longer than 125 bytes.")
        elif opcode > Opcode.BINARY:
            raise RemoteError(f"Opcode {opcode} is reserved.")
        elif opcode == Opcode.CONTINUATION:
            if self._opcode is None:
                raise RemoteError("A continuation frame continues nothing.")
        elif self._opcode is not None:
            raise RemoteError("A new message began before the last one was finished.")

    def _accept(self, final: int, opcode: int, payload: bytes) -> tuple[int, bytes] | None:
        """Return the message that this frame completes, if any."""
        if opcode >= 0x8:
            if opcode == Opcode.CLOSE:
                parse_close(payload)
                self._closed = True
            return opcode, payload
        if opcode != Opcode.CONTINUATION:
            self._opcode = opcode
        self._fragments.append(payload)
        self._size += len(payload)
        # Empty fragments add nothing to the size, so their number needs a bound of its own.
        if len(self._fragments) > 1024:
            raise RemoteError("A message has more than 1024 fragments.", close_code=1009)
        if not final or self._opcode is None:
            return None
        message = self._opcode, b"".join(self._fragments)
        self._opcode, self._size = None, 0
        self._fragments.clear()
        if message[0] == Opcode.TEXT:
            _require_utf8(message[1])
        return message


def parse_close(payload: bytes) -> tuple[int, str]:
    """Return code and reason of a close frame. Raises ``RemoteError`` by 5.5.1 and 7.4."""
    if not payload:
        return NO_STATUS, ""
    if len(payload) == 1:
        raise RemoteError("A close frame's code is cut short.")
    (code,) = struct.unpack_from("!H", payload)
    if code not in _SENDABLE:
        raise RemoteError(f"Close code {code} may not be sent.")
    _require_utf8(payload[2:])
    return code, payload[2:].decode()


def _require_utf8(data: bytes) -> None:
    try:
        data.decode()
    except UnicodeDecodeError:
        raise RemoteError("Text is not valid UTF-8.", close_code=1007) from None


def header(opcode: Opcode, length: int) -> bytes:
    """Return the header of an unmasked, unfragmented frame with ``length`` bytes of payload."""
    if length < 126:
        return bytes((0x80 | opcode, length))
    if length < 65_536:
        return struct.pack("!BBH", 0x80 | opcode, 126, length)
    return struct.pack("!BBQ", 0x80 | opcode, 127, length)


def frame(opcode: Opcode, payload: bytes) -> bytes:
    return header(opcode, len(payload)) + payload


def close_frame(code: int, reason: str = "") -> bytes:
    """Return a close frame, without a code for ``NO_STATUS``. A long reason is shortened."""
    if code == NO_STATUS:
        return frame(Opcode.CLOSE, b"")
    text = reason.encode()[:123].decode(errors="ignore").encode()
    return frame(Opcode.CLOSE, struct.pack("!H", code) + text)
