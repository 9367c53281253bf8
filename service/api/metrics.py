"""``/metrics``: what is counted and timed, for Prometheus to fetch."""

from __future__ import annotations

from hmac import compare_digest

from flask import Blueprint, Response, request

from service import vitals
from service.api.auth import require_token
from service.api.declared import Reply, needs, refuses, replies
from service.api.requests import engine, outbox, switchboard
from service.errors import Forbidden, TooMany, Unauthorized
from service.metrics import CONTENT_TYPE
from service.permissions import Need
from service.tokens import bearer
from service.vitals import Vitals

metrics = Blueprint("metrics", __name__)


@refuses(Unauthorized, Forbidden, TooMany)
def require_metrics_token() -> None:
    """``METRICS_TOKEN`` after ``Bearer``, or a token of the whole account."""
    wanted = switchboard().settings.metrics_token
    given = bearer(request.headers.get("Authorization")) or ""
    if wanted is None or not compare_digest(given.encode(), wanted.encode()):
        require_token()


@metrics.get("/metrics")
@needs(Need.ACCOUNT)
@replies(Reply(200, "In the text format of Prometheus.", content_type=CONTENT_TYPE))
def read() -> Response:
    """What is counted and timed."""
    return Response(switchboard().metrics.exposition(taken()), content_type=CONTENT_TYPE)


def taken() -> Vitals:
    """How the process fares right now."""
    board = switchboard()
    return vitals.taken(board.calls, outbox(), engine(), board.clock, board.settings.max_calls)
