"""A manual WebSocket handshake, which returns the server's answer and the socket."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

PATIENCE = 60

HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


def upgrade(
    url: str, *, method: str = "GET", early: bytes = b"", **changes: str | None
) -> tuple[int, bytes, socket.socket]:
    """Return status, head and socket. ``changes`` replace header fields; ``None`` omits one.

    ``early`` is sent right after the request, before the answer.
    """
    parts = urlsplit(url)
    fields = {"Host": parts.netloc, **HANDSHAKE}
    for name, value in changes.items():
        fields[name.replace("_", "-")] = value
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    lines = [f"{method} {target} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in fields.items() if value is not None]
    connection = socket.create_connection((parts.hostname, parts.port), PATIENCE)
    connection.sendall("\r\n".join([*lines, "", ""]).encode() + early)
    head = b""
    while b"\r\n\r\n" not in head:
        part = connection.recv(4096)
        assert part, "the server closed the connection before it answered"
        head += part
    return int(head.split(b" ", 2)[1]), head, connection


def text_frame(message: bytes) -> bytes:
    """Return a short text frame, masked with zeros."""
    assert len(message) < 126
    return bytes((0x81, 0x80 | len(message), 0, 0, 0, 0)) + message
