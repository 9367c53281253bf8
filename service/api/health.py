"""``/healthz``: the process answers. ``/readyz``: it can take a call now, or why it cannot."""

from __future__ import annotations

from flask import Blueprint, Response

from service.api.answers import respond
from service.api.declared import Reply, needs, replies
from service.api.requests import switchboard
from service.api.schemas.health import Alive, NotReady, Ready
from service.permissions import Need

health = Blueprint("health", __name__)


@health.get("/healthz")
@needs(Need.NOTHING)
@replies(Reply(200, "The process answers.", Alive()))
def alive() -> Response:
    return respond({"status": "ok"}, 200)


@health.get("/readyz")
@needs(Need.NOTHING)
@replies(
    Reply(200, "It can take a call.", Ready()),
    Reply(503, "It cannot, and ``checks`` says why.", NotReady()),
)
def ready() -> Response:
    found = switchboard().checks()
    checks = {name: problem or "ok" for name, problem in found.items()}
    failed = [name for name, problem in found.items() if problem]
    if not failed:
        return respond({"status": "ready", "checks": checks}, 200)
    message = f"Not ready: {', '.join(failed)}."
    document = {"message": message, "statusCode": 503, "status": "not ready", "checks": checks}
    return respond(document, 503)
