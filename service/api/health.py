"""``/healthz`` and ``/readyz``: probes of the process and of its readiness for calls."""

from __future__ import annotations

from flask import Blueprint, Response

from service.api.schemas.health import Alive, Dead, NotReady, Ready
from service.security.permissions import Need
from service.web.declarations import Reply, needs, replies
from service.web.health import checks
from service.web.responses import respond
from service.web.services import services

health = Blueprint("health", __name__)


@health.get("/healthz")
@needs(Need.NOTHING)
@replies(
    Reply(200, "The process answers.", Alive()),
    Reply(503, "One of its threads has ended: restart the process.", Dead()),
)
def alive() -> Response:
    """Tell whether the process runs."""
    dead = [name for name, is_alive in services().is_alive.items() if not is_alive()]
    if not dead:
        return respond({"status": "ok"}, 200)
    message = f"Threads have ended: {', '.join(dead)}."
    return respond({"message": message, "statusCode": 503, "status": "dead"}, 503)


@health.get("/readyz")
@needs(Need.NOTHING)
@replies(
    Reply(200, "The process can take a call.", Ready()),
    Reply(503, "The process cannot take a call. ``checks`` says why.", NotReady()),
)
def ready() -> Response:
    """Tell whether the process can take a call."""
    found = checks()
    answers = {name: problem or "ok" for name, problem in found.items()}
    failed = [name for name, problem in found.items() if problem]
    if not failed:
        return respond({"status": "ready", "checks": answers}, 200)
    message = f"Not ready: {', '.join(failed)}."
    document = {"message": message, "statusCode": 503, "status": "not ready", "checks": answers}
    return respond(document, 503)
