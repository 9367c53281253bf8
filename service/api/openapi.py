"""``/openapi.json``: this API as an OpenAPI document."""

from __future__ import annotations

from functools import cache
from typing import Any

from flask import Blueprint, Response, current_app

from service.security.permissions import Need
from service.web.declarations import Reply, needs, replies
from service.web.responses import respond
from service.web.services import public_base

openapi = Blueprint("openapi", __name__)


@openapi.get("/openapi.json")
@needs(Need.NOTHING)
@replies(Reply(200, "The document."))
def document() -> Response:
    """Read this document."""
    known = written(current_app.config["PROVIDERS"])
    return respond({**known, "servers": [{"url": public_base()}]}, 200)


@cache
def written(providers: tuple[str, ...]) -> dict[str, Any]:
    """The document without its servers. It depends on the providers on offer and nothing else."""
    # Importing apispec and writing the document takes time that most processes never need.
    from service.api.schemas.call_events import EVENT
    from service.web.openapi.document import document as write

    return write(current_app, EVENT)
