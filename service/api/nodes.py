"""``/internal/nodes``: messages between nodes of several machines. No part of the public API.

Without ``NODE_URL`` there is nothing at these addresses. Anybody can call them. A request without a
valid token costs a look at its signature and a log line, and counts as a failure of its address. A
valid token always passes.
"""

from __future__ import annotations

from typing import cast

from flask import Blueprint, Response, g, request

from service.cluster.remote_requests import RemoteRequests
from service.errors import Forbidden, Invalid, NotFound
from service.security.permissions import Need
from service.web.declarations import JSON, needs
from service.web.errors import SENTENCES
from service.web.services import services
from service.web.throttling import count_failure
from service.web.validation import reading

nodes = Blueprint("nodes", __name__, url_prefix="/internal/nodes")


def require_node() -> None:
    """Require the token of another node, for this path and body."""
    known = _remote_requests()
    with reading():
        g.message = request.get_data(cache=False)
        # Werkzeug truncates a chunked body at the limit silently, and raises on the next read.
        request.stream.read(1)
    try:
        header = request.headers.get("Authorization")
        known.require_token((request.view_args or {})["node_id"], header, g.message)
    except Forbidden as error:
        services().metrics.message_refused("http")
        raise count_failure(error) from None


@nodes.post("/<id:node_id>")
@needs(Need.NODE)
def ask(node_id: str) -> Response:
    """Act on a message, and answer it."""
    try:
        answer = _remote_requests().answer(node_id, cast("bytes", g.message))
    except (NotFound, Invalid):
        services().metrics.message_refused("http")
        raise
    return Response(answer, content_type=JSON)


def _remote_requests() -> RemoteRequests:
    known = services().remote_requests
    if known is None:
        raise NotFound(SENTENCES[404])
    return known
