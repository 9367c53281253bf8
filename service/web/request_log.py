"""A request id on every answer, and one log line for every request.

The line contains the route's pattern and never the path, which contains webhook keys and refs.
Clients that get 429 continue by the thousand, and nodes ask each other for levels five times a
second, so these lines are logged at debug level.
"""

from __future__ import annotations

import logging
import re
import uuid
from typing import cast

from flask import Flask, Response, g, request

from service.telemetry.logs import REQUEST_ID
from service.web.services import services

logger = logging.getLogger(__name__)

FREQUENT = "/internal/nodes/<id:node_id>"
"""The route of messages between nodes."""

ACCEPTABLE = re.compile(r"[A-Za-z0-9._-]{1,64}")


def register(app: Flask) -> None:
    app.before_request(_begin)
    app.after_request(_finish)
    app.teardown_request(_forget)


def elapsed() -> float:
    """Return the seconds since this request began."""
    return services().clock.monotonic() - cast("float", g.started)


def _begin() -> None:
    g.started = services().clock.monotonic()
    # The client's own id where it is safe to log.
    sent = request.headers.get("x-request-id", "")
    g.request_id = sent if ACCEPTABLE.fullmatch(sent) else uuid.uuid4().hex
    REQUEST_ID.set(g.request_id)


def _forget(_: BaseException | None) -> None:
    REQUEST_ID.set(None)


def _finish(response: Response) -> Response:
    response.headers["x-request-id"] = g.request_id
    # flask-sock answers 200 when the handler of an upgraded socket has returned.
    upgraded = request.url_rule is not None and request.url_rule.websocket
    status = 101 if upgraded and response.status_code == 200 else response.status_code
    line = {
        "method": request.method,
        "path": request.url_rule.rule if request.url_rule else "unknown",
        "status": status,
        "ms": round(elapsed() * 1000, 1),
    }
    is_frequent = status == 429 or (status == 200 and line["path"] == FREQUENT)
    logger.log(logging.DEBUG if is_frequent else logging.INFO, "request", extra=line)
    return response
