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


def exposition(metrics: Metrics, vitals: HealthSnapshot) -> bytes:
    """Return the counters of ``metrics`` and the values of ``vitals`` in the text format."""
    return generate_latest(_Exposed(metrics.registry, vitals))


class _Exposed(Collector):
    def __init__(self, registry: CollectorRegistry, vitals: HealthSnapshot) -> None:
        self._registry = registry
        self._vitals = vitals

    def collect(self) -> Iterable[Metric]:
        vitals = self._vitals
        yield from self._registry.collect()
        yield _gauge("patchbay_threads", "Threads of the process.", threading.active_count())
        yield _gauge(
            "patchbay_calls_limit", "Calls there may be at a time (MAX_CALLS).", vitals.call_limit
        )
        yield _counter(
            "patchbay_log_lines_dropped_total",
            "Lines of the log that were dropped because nobody read it.",
            log_output.dropped(),
        )
        yield from _of_database(vitals.stored)
        yield from _of_engine(vitals.figures)
        lengths = {"reports": vitals.reports}
        if vitals.stored is not None:
            lengths["outbox"] = vitals.stored.pending
        if vitals.figures is not None:
            lengths["requests"] = vitals.figures.requests
        waiting = GaugeMetricFamily(
            "patchbay_queue_length",
            "What waits: events in the outbox, the engine's reports to the ledger, requests to it.",
            labels=("queue",),
        )
        for queue, length in lengths.items():
            waiting.add_metric((queue,), length)
        yield waiting


def _of_database(stored: Stored | None) -> Iterator[Metric]:
    yield _gauge("patchbay_database_up", "Whether the database answers.", stored is not None)
    if stored is not None:
        yield _gauge("patchbay_calls", "Calls and WebSocket sessions that are up.", stored.calls)


def _of_engine(figures: EngineStats | None) -> Iterator[Metric]:
    yield _gauge("patchbay_engine_up", "Whether the media engine answers.", figures is not None)
    if figures is None:
        return
    yield _gauge("patchbay_sockets", "Media sockets that are open.", figures.sockets)
    yield _gauge("patchbay_legs", "Media sockets that are in a room.", figures.joined)
    edges = [*map(str, BOUNDS), "+Inf"]
    yield HistogramMetricFamily(
        "patchbay_tick_lateness_seconds",
        "How late a tick of the 20 ms clock began.",
        buckets=tuple(zip(edges, accumulate(figures.lateness), strict=True)),
        sum_value=figures.late_seconds,
    )
    yield _counter(
        "patchbay_ticks_late_total", "Ticks that began 10 ms late or later.", figures.late
    )
    yield _counter(
        "patchbay_ticks_skipped_total", "Ticks that were not made up for.", figures.skipped
    )
    yield _counter(
        "patchbay_engine_faults_total", "Exceptions that the engine came through.", figures.faults
    )
    frames = CounterMetricFamily(
        "patchbay_frames_total", "Frames of 20 ms from and to peers.", labels=("direction",)
    )
    frames.add_metric(("in",), figures.frames.received)
    frames.add_metric(("out",), figures.frames.sent)
    yield frames
    drops = CounterMetricFamily(
        "patchbay_audio_drops_total",
        "Chunks that came late or were lost; frames dropped for delay's sake, or unsent.",
        labels=("cause",),
    )
    for cause in ("late", "lost", "dropped", "unsent"):
        drops.add_metric((cause,), getattr(figures.frames, cause))
    yield drops


def _gauge(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(name, about, value=value)


def _counter(name: str, about: str, value: float) -> Metric:
    return CounterMetricFamily(name, about, value=value)
