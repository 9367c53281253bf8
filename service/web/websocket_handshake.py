"""WebSocket handshakes: validation, and handing the socket over to the engine.

flask-sock does the routing and the handshake. It would block a thread for the life of the socket.
Instead the engine gets a duplicate of the descriptor, the server keeps a dead socket under the old
number, and the request thread is free.
"""

from __future__ import annotations

import binascii
import os
import re
import socket
import ssl
from collections.abc import Callable
from functools import cache
from typing import cast

from flask import Flask, g, request
from simple_websocket import Server

from service.errors import Busy, Invalid, ServiceError
from service.process import file_descriptors


class NoReader:
    """A replacement for the thread in which simple-websocket reads the socket."""

    name = ""

    def __init__(self, target: Callable[[], None]) -> None:
        pass

    def start(self) -> None:
        pass


class FirstOffered:
    """A set that contains every subprotocol: ``require_handshake`` keeps the first one offered.

    A client that offers subprotocols closes a connection without one (RFC 6455, 4.1, and the
    WebSocket API of browsers). Their names have no meaning here.
    """

    def __contains__(self, name: str) -> bool:
        return True


SOCK_SERVER_OPTIONS = {"thread_class": NoReader, "subprotocols": FirstOffered()}

TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
"""The grammar of a subprotocol's name (RFC 9110, section 5.6.2)."""

OFFER = "HTTP_SEC_WEBSOCKET_PROTOCOL"


def require_handshake() -> None:
    """Require a WebSocket handshake, on a socket that can be handed over.

    Raises ``Invalid``, or ``Busy`` where there is no descriptor left for the connection.
    """
    try:
        key = binascii.a2b_base64(request.headers.get("Sec-WebSocket-Key", ""), strict_mode=True)
    except ValueError:
        key = b""
    upgrades = {part.strip().lower() for part in request.headers.get("Connection", "").split(",")}
    # Flask accepts HEAD where it accepts GET, and a handshake uses a reference up.
    if request.method != "GET" or len(key) != 16 or "upgrade" not in upgrades:
        raise Invalid("This is not a WebSocket handshake (RFC 6455, section 4.2.1).")
    if request.headers.get("Sec-WebSocket-Version") != "13":
        raise Invalid("Sec-WebSocket-Version must be 13.")
    held = _plain_socket()
    try:
        g.connection = socket.socket(held.family, held.type, held.proto, os.dup(held.fileno()))
    except OSError:
        # Before the reference is used up and the socket is reported as open.
        raise Busy(file_descriptors.SHORT) from None
    # simple-websocket accepts every offer of compression, which costs audio more than it saves.
    request.environ.pop("HTTP_SEC_WEBSOCKET_EXTENSIONS", None)
    _choose_protocol()


def _choose_protocol() -> None:
    """Keep the first of the offered subprotocols only. Raises ``Invalid``."""
    offered = [name.strip(" \t") for name in request.environ.pop(OFFER, "").split(",")]
    names = [name for name in offered if TOKEN.fullmatch(name)]
    if names:
        request.environ[OFFER] = names[0]
    elif any(offered):
        raise Invalid("Sec-WebSocket-Protocol must be names of subprotocols, with commas between.")


def _plain_socket() -> socket.socket:
    environ = request.environ
    held = environ.get("gunicorn.socket") or environ.get("werkzeug.socket")
    if isinstance(held, ssl.SSLSocket) or not isinstance(held, socket.socket):
        raise ServiceError(
            "This server cannot hand its sockets over: run gunicorn with the gthread or the sync "
            "worker, or `flask run`."
        )
    return held


def register(app: Flask) -> None:
    app.teardown_request(_release)


def _release(_: BaseException | None) -> None:
    """Close the duplicate of a connection that was not upgraded."""
    unused = g.pop("connection", None)
    if unused is not None:
        unused.close()


def detach(ws: Server) -> socket.socket:
    """Return the connection under a descriptor of its own.

    After the request the server closes its descriptor, and gunicorn shuts the connection down
    first, for all duplicates. So the server's descriptor is replaced by one end of a socket pair
    whose other end is closed.
    """
    os.dup2(_dead_socket().fileno(), ws.sock.fileno())
    # Prevents simple-websocket from sending a close frame.
    ws.connected = False
    return cast("socket.socket", g.pop("connection"))


@cache
def _dead_socket() -> socket.socket:
    """Return a dead socket that all connections share, to save descriptors."""
    dead, other = socket.socketpair()
    other.close()
    return dead
