"""The endpoint of the health page: the server's current state, and recent warnings and errors."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from flask import Blueprint, Response

from service import __version__
from service.clock import iso
from service.cluster.process_stats import ProcessStats
from service.media.engine.stats import EngineStats, together
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
    """Return the state. Null means no response from the database or engine; times are in ms."""
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
        "engine": _engine(together(answers)) if answers else None,
        "troubles": [_trouble(trouble) for trouble in patchbay.workers.troubles()],
        "settings": _settings(patchbay.settings),
    }
    if len(processes) > 1:
        document["workers"] = [_worker(each) for each in processes]
    return respond({"data": document}, 200)


def _worker(process: ProcessStats) -> dict[str, Any]:
    stats = process.engine_stats
    return {
        "node": process.node,
        "reports": process.reports,
        "engine": None if stats is None else _engine(stats),
    }


def _engine(figures: EngineStats) -> dict[str, Any]:
    recent = sorted(figures.recent)
    return {
        "sockets": figures.sockets,
        "joined": figures.joined,
        "requests": figures.requests,
        "lateMs": {name: _quantile(recent, share) for name, share in (("p50", 0.5), ("p99", 0.99))},
        "ticks": sum(figures.lateness),
        "late": figures.late,
        "skipped": figures.skipped,
        "frames": asdict(figures.frames),
    }


def _quantile(recent: list[float], share: float) -> float | None:
    return round(recent[int(share * (len(recent) - 1))] * 1000, 2) if recent else None


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
        *("public_url", "max_calls", "max_call_seconds", "alone_seconds", "drain_seconds"),
        *("hold_seconds", "reattach", "dial_per_day", "dial_tied_tokens", "keep_days"),
        *("plivo_old_signatures", "trust_proxy", "webhook_allow_private"),
        *("log_level", "log_format"),
    )
    shown = {name.upper(): getattr(settings, name) for name in names}
    return shown | {"DIAL_ALLOWED": ",".join(settings.dial_allowed) or None}
