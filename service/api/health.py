"""``/healthz``: the process and its threads run. ``/readyz``: it can take a call, or why not."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from flask import Blueprint, Response, current_app

from service.api.schemas.health import Alive, Dead, NotReady, Ready
from service.security.permissions import Need
from service.web.declarations import Reply, needs, replies
from service.web.responses import respond
from service.web.services import switchboard

health = Blueprint("health", __name__)


@health.get("/healthz")
@needs(Need.NOTHING)
@replies(
    Reply(200, "The process answers.", Alive()),
    Reply(503, "A thread of it has ended: it has to be started again.", Dead()),
)
def alive() -> Response:
    threads: Mapping[str, Callable[[], bool]] = current_app.extensions.get("threads", {})
    dead = [name for name, is_alive in threads.items() if not is_alive()]
    if not dead:
        return respond({"status": "ok"}, 200)
    message = f"Threads have ended: {', '.join(dead)}."
    return respond({"message": message, "statusCode": 503, "status": "dead"}, 503)


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
