"""The endpoint of the health page: the server's current state, and recent warnings and errors."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response

from service import __version__
from service.clock import iso
from service.console.engine_figures import engine_figures
from service.console.node_list import node_list
from service.media.engine.stats import together
from service.security.permissions import Need
from service.settings import Settings
from service.telemetry.logs import Trouble
from service.web.declarations import needs
from service.web.health import snapshot
from service.web.responses import respond
from service.web.services import services

health = Blueprint("console_health", __name__, url_prefix="/console/api/health")


@health.get("")
@needs(Need.ACCOUNT)
def get() -> Response:
    """Return the state. Null means no response from the database or engine; times are in ms.

    ``nodes`` are given where there are several.
    """
    status, patchbay = snapshot(), services()
    processes = status.processes
    answers = [each.engine_stats for each in processes if each.engine_stats is not None]
    document = {
        "version": __version__,
        "upMs": patchbay.clock.now() - patchbay.began_at,
        "callLimit": status.call_limit,
        "database": {
            "kind": patchbay.settings.database_kind,
            "stored": None
            if status.stored is None
            else {
                "calls": status.stored.calls,
                "pending": status.stored.pending,
                "answeredMs": round(status.stored.seconds * 1000, 2),
            },
        },
        "reports": sum(each.reports for each in processes),
        "engine": engine_figures(together(answers)) if answers else None,
        "troubles": [_trouble(trouble) for trouble in patchbay.workers.troubles()],
        "settings": _settings(patchbay.settings),
    }
    if patchbay.node is not None and len(nodes := node_list(patchbay.stores, processes)) > 1:
        document["nodes"] = nodes
    return respond({"data": document}, 200)


def _trouble(trouble: Trouble) -> dict[str, Any]:
    return {
        "at": iso(trouble.at),
        "level": trouble.level,
        "logger": trouble.logger,
        "message": trouble.message,
        "error": trouble.error,
        "callId": trouble.call_id,
    }


def _settings(settings: Settings) -> dict[str, Any]:
    """Return the settings that affect calls, by their variables. None of them is a secret."""
    names = (
        "public_url",
        *(("node_url",) if settings.node_url else ()),
        *("max_calls", "max_call_seconds", "alone_seconds", "drain_seconds"),
        *("hold_seconds", "reattach", "dial_per_day", "dial_tied_tokens", "keep_days"),
        *("plivo_old_signatures", "trust_proxy", "webhook_allow_private"),
        *("log_level", "log_format"),
    )
    shown = {name.upper(): getattr(settings, name) for name in names}
    return shown | {"DIAL_ALLOWED": ",".join(settings.dial_allowed) or None}
