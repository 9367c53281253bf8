"""A provider's request with its public URL, and everything else unchanged."""

from __future__ import annotations

import orjson
from flask import request

from service.providers.base.provider import Webhook
from service.web.services import public_base, services
from service.web.validation import reading


def webhook() -> Webhook:
    """Return this request with its body. Raises ``Invalid`` where the body breaks off."""
    with reading():
        body = request.get_data()
        # Werkzeug truncates a chunked body at the limit silently, and raises on the next read.
        request.stream.read(1)
        form = tuple(request.form.items(multi=True))
    return Webhook(
        form=_members(body) if request.is_json else form,
        url=public_base() + _target(),
        method=request.method,
        headers=dict(request.headers),
        body=body,
    )


def upgrade() -> Webhook:
    """Return this request for a WebSocket, which markup has sent to this machine."""
    base = services().settings.node_url or public_base()
    return Webhook(
        url=f"ws{base.removeprefix('http')}{_target()}",
        method=request.method,
        headers=dict(request.headers),
    )


def _target() -> str:
    """Return the raw path and query, without the prefix at which the server mounts the app.

    A signature covers each percent-encoded character, and Flask decodes the path.
    """
    raw: str = request.environ.get("RAW_URI") or request.environ["REQUEST_URI"]
    if not raw.startswith("/"):  # the absolute form, as to a proxy (RFC 9112, 3.2.2)
        raw = "/" + raw.partition("://")[2].partition("/")[2]
    path = raw.partition("?")[0].partition("#")[0]
    prefix = request.root_path.rstrip("/")
    if path.startswith(f"{prefix}/"):
        path = path.removeprefix(prefix)
    query: str = request.environ.get("QUERY_STRING", "")
    return f"{path}?{query}" if query else path


def _members(body: bytes) -> tuple[tuple[str, str], ...]:
    """Return the scalar members of a JSON object as the fields of a form."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return ()
    if not isinstance(document, dict):
        return ()
    return tuple(
        (name, str(value))
        for name, value in document.items()
        if isinstance(value, str | int | float)
    )
