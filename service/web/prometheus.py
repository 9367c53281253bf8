"""The text format of Prometheus, made of counters and a health snapshot."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from service.media.engine.lateness import BOUNDS
from service.media.engine.stats import EngineStats
from service.telemetry import log_output
from service.telemetry.metrics import Metrics
from service.web.health import HealthSnapshot, Stored

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""The text format that every Prometheus reads."""


def exposition(metrics: Metrics, snapshot: HealthSnapshot) -> bytes:
    """Return the counters of ``metrics`` and the values of ``snapshot`` in the text format."""
    return generate_latest(_Exposed(metrics.registry, snapshot))


class _Exposed(Collector):
    def __init__(self, registry: CollectorRegistry, snapshot: HealthSnapshot) -> None:
        self._registry = registry
        self._snapshot = snapshot

    def collect(self) -> Iterable[Metric]:
        snapshot = self._snapshot
        yield from self._registry.collect()
        yield _gauge("patchbay_threads", "Threads of the process.", threading.active_count())
        yield _gauge(
            "patchbay_calls_limit", "Calls there may be at a time (MAX_CALLS).", snapshot.call_limit
        )
        yield _counter(
            "patchbay_log_lines_dropped_total",
            "Lines of the log that were dropped because nobody read it.",
            log_output.dropped(),
        )
        yield from _of_database(snapshot.stored)
        yield from _of_engine(snapshot.engine_stats)
        lengths = {"reports": snapshot.reports}
        if snapshot.stored is not None:
            lengths["outbox"] = snapshot.stored.pending
        if snapshot.engine_stats is not None:
            lengths["requests"] = snapshot.engine_stats.requests
        waiting = GaugeMetricFamily(
            "patchbay_queue_length",
            "Queues: events in the outbox, the engine's reports to the recorder, requests to it.",
            labels=("queue",),
        )
        for queue, length in lengths.items():
            waiting.add_metric((queue,), length)
        yield waiting


def _of_database(stored: Stored | None) -> Iterator[Metric]:
    yield _gauge("patchbay_database_up", "Whether the database answers.", stored is not None)
    if stored is not None:
        yield _gauge("patchbay_calls", "Calls and WebSocket sessions that are up.", stored.calls)


def _of_engine(stats: EngineStats | None) -> Iterator[Metric]:
    yield _gauge("patchbay_engine_up", "Whether the media engine answers.", stats is not None)
    if stats is None:
        return
    yield _gauge("patchbay_sockets", "Media sockets that are open.", stats.sockets)
    yield _gauge("patchbay_legs", "Media sockets that are in a room.", stats.joined)
    edges = [*map(str, BOUNDS), "+Inf"]
    yield HistogramMetricFamily(
        "patchbay_tick_lateness_seconds",
        "How late a tick of the 20 ms clock began.",
        buckets=tuple(zip(edges, accumulate(stats.lateness), strict=True)),
        sum_value=stats.late_seconds,
    )
    yield _counter("patchbay_ticks_late_total", "Ticks that began 10 ms late or later.", stats.late)
    yield _counter(
        "patchbay_ticks_skipped_total", "Ticks that were not made up for.", stats.skipped
    )
    yield _counter(
        "patchbay_engine_faults_total", "Exceptions that the engine came through.", stats.faults
    )
    frames = CounterMetricFamily(
        "patchbay_frames_total", "Frames of 20 ms from and to peers.", labels=("direction",)
    )
    frames.add_metric(("in",), stats.frames.received)
    frames.add_metric(("out",), stats.frames.sent)
    yield frames
    drops = CounterMetricFamily(
        "patchbay_audio_drops_total",
        "Chunks that came late or were lost; frames dropped for delay's sake, or unsent.",
        labels=("cause",),
    )
    for cause in ("late", "lost", "dropped", "unsent"):
        drops.add_metric((cause,), getattr(stats.frames, cause))
    yield drops


def _gauge(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(name, about, value=value)


def _counter(name: str, about: str, value: float) -> Metric:
    return CounterMetricFamily(name, about, value=value)
