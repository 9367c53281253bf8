"""Frames on a Unix socket between two workers: a length, a body, and at most one descriptor.

A stream and not packets: a packet is limited by the kernel's send buffer, and a leg that moves may
bring a minute of audio. The descriptor travels with the first byte of its frame.
"""

from __future__ import annotations

import os
import socket
import struct
from contextlib import suppress

from service.cluster.codec import Malformed

LENGTH = struct.Struct("!I")

MAX_BYTES = 4 * 1024 * 1024
"""Longest body: twice an agent's minute of audio and its unsent data."""

READ_BYTES = 64 * 1024

CREDENTIALS = struct.Struct("3i")
"""Process, user and group of the other end, as Linux tells them."""

CLOSE_ON_EXEC = getattr(socket, "MSG_CMSG_CLOEXEC", 0)


class Frame:
    """One frame: its body, and the descriptor that came with it, which its reader must close."""

    def __init__(self, body: bytes, descriptor: int | None) -> None:
        self.body = body
        self._descriptor = descriptor

    def take_descriptor(self) -> int | None:
        """Return the descriptor, which is the caller's from now on."""
        descriptor, self._descriptor = self._descriptor, None
        return descriptor

    def close(self) -> None:
        """Close the descriptor, unless it was taken."""
        if (descriptor := self.take_descriptor()) is not None:
            os.close(descriptor)


class FrameReader:
    """Incoming frames of one socket, in pieces as they arrive."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._data = bytearray()
        self._descriptor: int | None = None

    def read(self) -> Frame | None:
        """Receive once. Returns a frame that is complete, else ``None``.

        Raises ``EOFError`` at the end, ``OSError``, and ``Malformed``. After any of them the socket
        cannot be used any more.
        """
        data, descriptors, flags, _ = socket.recv_fds(self._sock, READ_BYTES, 1, CLOSE_ON_EXEC)
        for descriptor in descriptors:
            if self._descriptor is not None:
                os.close(descriptor)
                raise Malformed("A frame must bring one descriptor at most.")
            self._descriptor = descriptor
        if flags & socket.MSG_CTRUNC:
            raise Malformed("A frame must bring one descriptor at most.")
        if not data:
            raise EOFError
        self._data += data
        if len(self._data) < LENGTH.size:
            return None
        (length,) = LENGTH.unpack_from(self._data)
        if length > MAX_BYTES:
            raise Malformed(f"A frame must have {MAX_BYTES} bytes at most.")
        if len(self._data) < LENGTH.size + length:
            return None
        if len(self._data) > LENGTH.size + length:
            # The other end waits for an answer before it sends the next frame.
            raise Malformed("A frame came before the last one was answered.")
        frame = Frame(bytes(self._data[LENGTH.size :]), self._descriptor)
        self._descriptor = None
        self._data.clear()
        return frame

    def close(self) -> None:
        """Close a descriptor that came with an incomplete frame."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def send(sock: socket.socket, body: bytes, descriptor: int | None = None) -> None:
    """Send one frame within the socket's timeout. Raises ``OSError``."""
    data = LENGTH.pack(len(body)) + body
    sent = sock.send(data) if descriptor is None else socket.send_fds(sock, [data], [descriptor])
    if sent < len(data):
        sock.sendall(memoryview(data)[sent:])


def is_own_user(sock: socket.socket) -> bool:
    """Whether the process at the other end is of this user.

    Only Linux is asked. Elsewhere the mode of the folder must do.
    """
    if not hasattr(socket, "SO_PEERCRED"):
        return True
    with suppress(OSError):
        found = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
        return bool(CREDENTIALS.unpack(found)[1] == os.geteuid())
    return False
