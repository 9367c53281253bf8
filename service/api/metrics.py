"""``/metrics``: what is counted and timed, for Prometheus to fetch."""

from __future__ import annotations

from hmac import compare_digest
from typing import cast

from flask import Blueprint, Response, current_app, request

from service import vitals
from service.api.auth import require_account
from service.api.declared import Reply, refuses, replies
from service.api.requests import switchboard
from service.errors import Forbidden, TooMany, Unauthorized
from service.media.engine import Engine
from service.metrics import CONTENT_TYPE
from service.storage.outbox import Outbox
from service.vitals import Vitals

metrics = Blueprint("metrics", __name__)


@refuses(Unauthorized, Forbidden, TooMany)
def require_metrics_token() -> None:
    """``METRICS_TOKEN`` after ``Bearer``, or whatever else reaches as far as the account."""
    wanted = switchboard().settings.metrics_token
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    is_known = wanted is not None and compare_digest(given.strip().encode(), wanted.encode())
    if not is_known or scheme.lower() != "bearer":
        require_account()


@metrics.get("/metrics")
@replies(Reply(200, "In the text format of Prometheus.", content_type=CONTENT_TYPE))
def read() -> Response:
    """What is counted and timed."""
    return Response(switchboard().metrics.exposition(taken()), content_type=CONTENT_TYPE)


def taken() -> Vitals:
    """How the process fares right now."""
    board, extensions = switchboard(), current_app.extensions
    return vitals.taken(
        board.calls,
        cast("Outbox", extensions["outbox"]),
        cast("Engine", extensions["engine"]),
        board.clock,
        board.settings.max_calls,
    )
