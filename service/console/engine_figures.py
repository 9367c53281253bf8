"""The figures of a media engine on the health page."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from service.media.engine.stats import EngineStats


def engine_figures(stats: EngineStats) -> dict[str, Any]:
    recent = sorted(stats.recent)
    return {
        "sockets": stats.sockets,
        "joined": stats.joined,
        "requests": stats.requests,
        "lateMs": {name: _quantile(recent, share) for name, share in (("p50", 0.5), ("p99", 0.99))},
        "ticks": sum(stats.lateness),
        "late": stats.late,
        "skipped": stats.skipped,
        "frames": asdict(stats.frames),
    }


def _quantile(recent: list[float], share: float) -> float | None:
    return round(recent[int(share * (len(recent) - 1))] * 1000, 2) if recent else None
