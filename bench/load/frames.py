"""The client's side of RFC 6455: prepared frames to send, and received frames.

This file does no I/O. It covers what the benchmark needs: it sends text frames and reads any frame.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator

CONTINUATION = 0x0
TEXT = 0x1
PING = 0x9


def masked(message: bytes, opcode: int = TEXT, *, final: bool = True) -> bytes:
    """Return a frame, masked with a random key as RFC 6455 demands, to be unmasked in full."""
    length = len(message)
    first = opcode | 0x80 if final else opcode
    if length < 126:
        head = struct.pack("!BB", first, 0x80 | length)
    else:
        head = struct.pack("!BBH", first, 0x80 | 126, length)
    key = os.urandom(4)
    mask = (key * (length // 4 + 1))[:length]
    bits = int.from_bytes(message, "big") ^ int.from_bytes(mask, "big")
    return head + key + bits.to_bytes(length, "big")


class Numbered:
    """A frame whose message contains an eight-digit number that changes with each send.

    Telnyx numbers its chunks and a server may sort by the number, so a frame cannot be sent twice
    unchanged. Masking the whole frame again would cost more than sending it.
    """

    __slots__ = ("_after", "_before", "_mask")

    def __init__(self, frame: bytes, message: bytes, digits: bytes) -> None:
        place = message.index(digits)
        start = len(frame) - len(message) + place
        stop = start + len(digits)
        self._before, self._after = frame[:start], frame[stop:]
        self._mask = int.from_bytes(frame[start:stop], "big") ^ int.from_bytes(digits, "big")

    def with_number(self, digits: bytes) -> bytes:
        """Return the frame with another number of the same length."""
        number = int.from_bytes(digits, "big") ^ self._mask
        return self._before + number.to_bytes(len(digits), "big") + self._after


def split(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yield ``(end, opcode, payload)`` of every complete unmasked frame in ``data``."""
    position = 0
    while len(data) - position >= 2:
        opcode, length = data[position] & 0x0F, data[position + 1] & 0x7F
        start = position + 2
        if length == 126:
            start += 2
            length = int.from_bytes(data[position + 2 : start], "big")
        elif length == 127:
            start += 8
            length = int.from_bytes(data[position + 2 : start], "big")
        position = start + length
        if position > len(data):
            return
        yield position, opcode, data[start:position]
