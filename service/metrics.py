"""What is counted and timed, and how Prometheus is told of it.

No label has a value that somebody outside can make up, and none is a secret. What is counted where
it happens is in a registry of this object's own, so that several services in one process do not
mix. The rest is read when somebody asks. The names follow
https://prometheus.io/docs/practices/naming/
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from itertools import accumulate

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    Info,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from service import __version__, log_output
from service.media.figures import Figures
from service.media.lateness import BOUNDS
from service.model import WEBSOCKET, EndReason
from service.providers import load
from service.vitals import Stored, Vitals

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""The text format that every Prometheus reads."""

ANSWER_BOUNDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)

TRANSACTION_BOUNDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 5.0)


ANSWERS = ("answered", "refused", "failed")

UNKNOWN = "unknown"
"""The provider label of a request whose key is unknown: anybody can send one."""

DELIVERIES = ("delivered", "refused", "unanswered", "dead")


class Metrics:
    """Thread-safe."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        build = Info("patchbay_build", "The version that runs.", registry=self._registry)
        build.info({"version": __version__})
        self._ended = Counter(
            "patchbay_calls_ended_total",
            "Calls and WebSocket sessions that are over, by why.",
            ("provider", "reason"),
            registry=self._registry,
        )
        self._answers = Histogram(
            "patchbay_webhook_answer_seconds",
            "From a provider's webhook to its answer; refused is 4xx, failed is our fault.",
            ("provider", "outcome"),
            buckets=ANSWER_BOUNDS,
            registry=self._registry,
        )
        self._deliveries = Counter(
            "patchbay_deliveries_total",
            "Attempts to deliver a lifecycle webhook by outcome, and events given up (dead).",
            ("outcome",),
            registry=self._registry,
        )
        self._faults = Counter(
            "patchbay_connection_faults_total",
            "Connections that were closed because of a fault in the server's main loop.",
            registry=self._registry,
        )
        self._lost = Counter(
            "patchbay_reports_lost_total",
            "Reports of the media engine that the database refused, and that were given up.",
            registry=self._registry,
        )
        transactions = Histogram(
            "patchbay_database_transaction_seconds",
            "Database transactions, the wait for a connection or for the lock included.",
            ("kind",),
            buckets=TRANSACTION_BOUNDS,
            registry=self._registry,
        )
        self._transactions = {kind: transactions.labels(kind) for kind in ("read", "write")}
        self._begin_at_zero()

    def _begin_at_zero(self) -> None:
        """Make every label set now, at zero: Prometheus sees no increase in one that begins above
        zero.
        """
        providers = sorted(load())
        for provider in (*providers, WEBSOCKET):
            for reason in EndReason:
                self._ended.labels(provider, reason.value)
        for provider in (*providers, UNKNOWN):
            for outcome in ANSWERS:
                self._answers.labels(provider, outcome)
        for outcome in DELIVERIES:
            self._deliveries.labels(outcome)

    def report_lost(self) -> None:
        """A report of the engine that the database refused, and that was given up."""
        self._lost.inc()

    def call_ended(self, provider: str, reason: EndReason) -> None:
        self._ended.labels(provider, reason.value).inc()

    def webhook_answered(self, provider: str, outcome: str, seconds: float) -> None:
        """``outcome`` is one of ``ANSWERS``, and ``provider`` may be ``UNKNOWN``."""
        self._answers.labels(provider, outcome).observe(seconds)

    def told(self, outcome: str, count: int = 1) -> None:
        """``outcome`` is one of ``DELIVERIES``: of an attempt, or ``dead`` of events given up."""
        self._deliveries.labels(outcome).inc(count)

    def connection_failed(self) -> None:
        self._faults.inc()

    def transaction(self, kind: str) -> AbstractContextManager[object]:
        """Around a transaction that is a ``read`` or a ``write``."""
        return self._transactions[kind].time()

    def exposition(self, vitals: Vitals) -> bytes:
        """All of it in the text format, with ``vitals`` for what is read just now."""
        return generate_latest(_Exposed(self._registry, vitals))


class _Exposed(Collector):
    def __init__(self, registry: CollectorRegistry, vitals: Vitals) -> None:
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


def _of_engine(figures: Figures | None) -> Iterator[Metric]:
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
