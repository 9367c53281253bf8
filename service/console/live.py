"""Endpoints of the live page: the calls in progress, and a socket with their levels and changes.

A browser sends its cookie with a WebSocket that any page opens. The socket is therefore open only
to pages of this host, which the browser names in ``Origin``.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from flask import Blueprint, Response, request
from flask_sock import Sock
from simple_websocket import Server

from service.console.schemas import LiveFilter
from service.domain.origins import origin
from service.errors import Forbidden
from service.security.permissions import Need
from service.storage.calls.in_progress import CallInProgress
from service.web.auth import require_token
from service.web.declarations import needs
from service.web.responses import respond
from service.web.services import services
from service.web.validation import query
from service.web.websocket_handshake import detach, require_handshake

calls = Blueprint("console_live_calls", __name__, url_prefix="/console/api/live/calls")
live = Blueprint("console_live", __name__)
sock = Sock()


@calls.get("")
@needs(Need.ACCOUNT)
@query(LiveFilter())
def index(wanted: dict[str, str]) -> Response:
    """Return the newest calls in progress, including custom WebSockets, and their ``total``.

    ``roomId`` limits them to one room. ``node`` is null where there is only one.
    """
    found, total = services().stores.calls_in_progress.newest(wanted.get("room_id"))
    names_nodes = services().workers.are_several
    documents = [
        _describe(each) | {"node": each.node_id if names_nodes else None} for each in found
    ]
    return respond({"data": documents, "total": total}, 200)


@calls.get("/by-room")
@needs(Need.ACCOUNT)
def by_room() -> Response:
    """Return the number of participants of each occupied room."""
    return respond({"data": services().stores.calls_in_progress.by_room()}, 200)


def require_console_page() -> None:
    """Require a session and a page of this host. Raises before the upgrade."""
    require_handshake()
    # Before the origin: anybody can send a wrong one, and that is logged as a warning.
    require_token()
    _require_own_origin()
    services().serving.require_open()


@needs(Need.ACCOUNT)
def feed(ws: Server) -> None:
    """Send levels five times a second, and notices of changed calls, until either side closes."""
    services().media.watch(detach(ws))


sock.route("/console/api/live", bp=live)(feed)


def _require_own_origin() -> None:
    sent = request.headers.get("Origin", "")
    found = origin(sent)
    # The scheme is taken from Origin, because a proxy may use another one than this server sees.
    host = request.headers.get("Host", "")
    here = origin(f"{urlsplit(sent).scheme}://{host}") if found else None
    if found is None or found not in (here, origin(services().settings.public_url or "")):
        raise Forbidden("Origin header must be that of this host.")


def _describe(call: CallInProgress) -> dict[str, Any]:
    return {
        "id": call.id,
        "provider": call.provider,
        "type": call.direction,
        "from": call.caller,
        "to": call.callee,
        "roomId": call.room_id,
        "status": call.status,
        "participantId": call.participant_id,
        "participantName": call.participant_name,
        "start": call.started_at,
        "answered": call.answered_at,
        "detached": call.detached_at,
        "joined": call.joined_at,
    }
