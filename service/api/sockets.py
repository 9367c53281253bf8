"""Media sockets: everything is checked before the upgrade, then the engine adopts the socket.

flask-sock does the routing and the handshake. It would then keep a thread in the socket for as
long as the call lasts; instead the engine gets a duplicate of the descriptor, the server is left
with a dead one under its own number, and the request thread is free.
"""

from __future__ import annotations

import binascii
import os
import socket
from collections.abc import Callable
from typing import cast

from flask import Blueprint, current_app, g, request
from flask_sock import Sock
from simple_websocket import Server

from service.api.declared import Reply, declare, refuses, replies
from service.api.floods import failed, require_known
from service.api.received import reception, upgrade
from service.api.requests import switchboard
from service.api.schemas.sockets import Reference
from service.errors import Busy, Gone, Invalid, NotFound, ServiceError, TooMany
from service.media.engine import Engine
from service.media.leg import LegSpec
from service.model import WEBSOCKET
from service.providers import load

sockets = Blueprint("sockets", __name__)

CUSTOM = "videosdk"
"""The path of the custom WebSocket, whose clients look for ``/videosdk?ref=…``."""


class NoReader:
    """In the place of the thread in which simple-websocket would read the socket."""

    name = ""

    def __init__(self, target: Callable[[], None]) -> None:
        pass

    def start(self) -> None:
        pass


SOCK_SERVER_OPTIONS = {"thread_class": NoReader}


@replies(Reply(403, "The signature is missing or wrong.", content_type=None))
@refuses(NotFound, Gone, Busy, TooMany)
def require_reference() -> None:
    """Claim the call that the reference in the URL stands for, and leave its leg in ``flask.g``.

    Raises before the upgrade, so that whoever is refused gets a plain HTTP answer: ``Invalid``
    where this is no WebSocket handshake and ``BadSignature`` where it is not signed as it must be,
    since neither may use the reference up.
    """
    _require_handshake()
    _require_plain_socket()
    name = (request.endpoint or "").rpartition(".")[2]
    ref = request.args.get("ref", "") if name == CUSTOM else (request.view_args or {})["ref"]
    require_known(ref)
    if name != CUSTOM:
        # Before the claim, which uses the reference up.
        reception().signatures.check_upgrade(name, ref, upgrade())
    try:
        g.leg = switchboard().claim(WEBSOCKET if name == CUSTOM else name, ref)
    except NotFound as error:
        raise failed(error) from None
    # simple-websocket accepts compression whenever it is offered; it costs audio far more than it
    # saves.
    request.environ.pop("HTTP_SEC_WEBSOCKET_EXTENSIONS", None)


OPENED = Reply(101, "The socket is open, and the call is on it.", content_type=None)


@replies(OPENED)
def adopt(ws: Server, ref: str | None = None) -> None:
    """Open the media socket of a phone call."""
    engine = cast("Engine", current_app.extensions["engine"])
    engine.adopt(_detach(ws), cast("LegSpec", g.leg))


@replies(OPENED)
def adopt_custom(ws: Server) -> None:
    """Open the custom WebSocket of an ingest session."""
    adopt(ws)


sock = Sock()
# Not through @query: by then the guard has asked for the reference.
sock.route(f"/{CUSTOM}", bp=sockets, endpoint=CUSTOM)(declare(adopt_custom, query=Reference()))
for _name in load():
    sock.route(f"/{_name}/<id:ref>", bp=sockets, endpoint=_name)(adopt)


def _require_handshake() -> None:
    try:
        key = binascii.a2b_base64(request.headers.get("Sec-WebSocket-Key", ""), strict_mode=True)
    except ValueError:
        key = b""
    upgrades = {part.strip().lower() for part in request.headers.get("Connection", "").split(",")}
    if len(key) != 16 or "upgrade" not in upgrades:
        raise Invalid("This is not a WebSocket handshake (RFC 6455, section 4.2.1).")
    if request.headers.get("Sec-WebSocket-Version") != "13":
        raise Invalid("Sec-WebSocket-Version must be 13.")


def _require_plain_socket() -> None:
    environ = request.environ
    held = environ.get("gunicorn.socket") or environ.get("werkzeug.socket")
    if type(held).__module__ != socket.socket.__module__ or not isinstance(held, socket.socket):
        raise ServiceError(
            "This server cannot hand its sockets over: run gunicorn with the gthread or the sync "
            "worker, or `flask run`."
        )


def _detach(ws: Server) -> socket.socket:
    """The connection, under a descriptor of its own.

    The server closes what it holds when the request is over, and gunicorn shuts it down first,
    which would end the connection for every duplicate too. So its descriptor is made to point at
    one end of a pair of sockets that is closed at the other end.
    """
    own: socket.socket = ws.sock.dup()
    dead, other = socket.socketpair()
    os.dup2(dead.fileno(), ws.sock.fileno())
    dead.close()
    other.close()
    # Keeps simple-websocket from sending a close frame on the way out.
    ws.connected = False
    return own
