"""``/metrics``: metrics for Prometheus."""

from __future__ import annotations

from flask import Blueprint, Response, request

from service.errors import Forbidden, TooMany, Unauthorized
from service.security import constant_time
from service.security.access_tokens import bearer
from service.security.permissions import Need
from service.web.auth import require_token
from service.web.declarations import Reply, needs, refuses, replies
from service.web.health import machine_snapshot
from service.web.prometheus import CONTENT_TYPE, exposition
from service.web.services import services

metrics = Blueprint("metrics", __name__)


@refuses(Unauthorized, Forbidden, TooMany)
def require_metrics_token() -> None:
    """Require ``METRICS_TOKEN`` after ``Bearer``, or a token of the whole account."""
    wanted = services().settings.metrics_token
    given = bearer(request.headers.get("Authorization")) or ""
    if wanted is None or not constant_time.equal(given, wanted):
        require_token()


@metrics.get("/metrics")
@needs(Need.ACCOUNT)
@replies(Reply(200, "In the text format of Prometheus.", content_type=CONTENT_TYPE))
def read() -> Response:
    """Read all metrics."""
    text = exposition(services().metrics, machine_snapshot())
    return Response(text, content_type=CONTENT_TYPE)
