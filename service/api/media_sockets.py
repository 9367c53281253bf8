"""Media sockets: a request is checked before the upgrade, and the engine adopts the socket."""

from __future__ import annotations

from typing import cast

from flask import Blueprint, g, request
from flask_sock import Sock
from simple_websocket import Server

from service.api.provider_requests import upgrade
from service.api.schemas.media_sockets import Reference
from service.domain.calls import WEBSOCKET
from service.errors import Busy, Gone, Misdirected, NotFound, TooMany
from service.media.rooms.leg import LegSpec
from service.providers import load
from service.security.permissions import Need
from service.web.declarations import Reply, declare, needs, refuses, replies
from service.web.services import services
from service.web.throttling import count_failure, require_known
from service.web.websocket_handshake import detach, require_handshake

sockets = Blueprint("sockets", __name__)

CUSTOM = "videosdk"
"""The path of the custom WebSocket: clients expect ``/videosdk?ref=…``."""


@replies(Reply(403, "The signature is missing or wrong.", content_type=None))
@refuses(NotFound, Gone, Misdirected, Busy, TooMany)
def require_reference() -> None:
    """Claim the call of the reference in the URL, and store its leg in ``flask.g``.

    Raises before the upgrade, so that a refused client gets a plain HTTP answer. ``Invalid`` (no
    WebSocket handshake) and ``BadSignature`` are raised before the claim, which uses the reference
    up.
    """
    require_handshake()
    name = (request.endpoint or "").rpartition(".")[2]
    ref = request.args.get("ref", "") if name == CUSTOM else (request.view_args or {})["ref"]
    require_known(ref)
    # Before the signature, which is that of the other machine's address.
    services().admission.require_here(ref)
    if name != CUSTOM:
        # Before the claim, which uses the reference up.
        services().signatures.check_upgrade(name, ref, upgrade())
    try:
        g.leg = services().admission.claim(WEBSOCKET if name == CUSTOM else name, ref)
    except NotFound as error:
        raise count_failure(error) from None


OPENED = Reply(101, "The socket is open and carries the call.", content_type=None)


@needs(Need.OWN_KEY)
@replies(OPENED)
def adopt(ws: Server, ref: str | None = None) -> None:
    """Open the media socket of a phone call."""
    services().media.adopt(detach(ws), cast("LegSpec", g.leg))


@needs(Need.OWN_KEY)
@replies(OPENED)
def adopt_custom(ws: Server) -> None:
    """Open the custom WebSocket of an ingest session."""
    adopt(ws)


sock = Sock()
# Not through @query, because the guard reads the reference before.
sock.route(f"/{CUSTOM}", bp=sockets, endpoint=CUSTOM)(declare(adopt_custom, query=Reference()))
for _name in load():
    sock.route(f"/{_name}/<id:ref>", bp=sockets, endpoint=_name)(adopt)
