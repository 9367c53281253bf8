"""Counters and histograms for Prometheus.

No label has a value that a client can invent, and no label is a secret. Each object has a registry
of its own, so that several services in one process do not mix. ``web.prometheus`` adds the values
that are read on request. The names follow https://prometheus.io/docs/practices/naming/
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager

from prometheus_client import CollectorRegistry, Counter, Histogram, Info, ProcessCollector
from prometheus_client.metrics_core import Metric

from service import __version__
from service.domain.calls import WEBSOCKET, EndReason
from service.telemetry.shared_counters import SharedCounters

ANSWER_BOUNDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)

TRANSACTION_BOUNDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 5.0)


ANSWERS = ("answered", "refused", "failed")

UNKNOWN = "unknown"
"""The provider label of a request with an unknown key."""

TRANSPORTS = ("socket", "http")
"""Ways of a message from one node to another: on one machine, and between machines."""

DELIVERIES = ("delivered", "refused", "unanswered", "dead")


class Metrics:
    """Thread-safe."""

    def __init__(self, providers: Iterable[str], shared: SharedCounters | None = None) -> None:
        """``shared`` keeps the counters where this process is one of several."""
        self._shared = shared
        self.registry = CollectorRegistry()
        if shared is None:
            ProcessCollector(registry=self.registry)
        self._build = Info(
            "patchbay_build",
            "The version that runs.",
            registry=self.registry if shared is None else None,
        )
        self._build.info({"version": __version__})
        self._ended = Counter(
            "patchbay_calls_ended_total",
            "Calls and WebSocket sessions that are over, by why.",
            ("provider", "reason"),
            registry=self.registry,
        )
        self._answers = Histogram(
            "patchbay_webhook_answer_seconds",
            "From a provider's webhook to its answer; refused is 4xx, failed is our fault.",
            ("provider", "outcome"),
            buckets=ANSWER_BOUNDS,
            registry=self.registry,
        )
        self._deliveries = Counter(
            "patchbay_deliveries_total",
            "Attempts to deliver a lifecycle webhook by outcome, and events given up (dead).",
            ("outcome",),
            registry=self.registry,
        )
        self._faults = Counter(
            "patchbay_connection_faults_total",
            "Connections that were closed because of a fault in the server's main loop.",
            registry=self.registry,
        )
        self._lost = Counter(
            "patchbay_reports_lost_total",
            "Reports of the media engine that the database refused, and that were given up.",
            registry=self.registry,
        )
        self._refused = Counter(
            "patchbay_cluster_refused_total",
            "Messages of other nodes that were refused, by transport: socket or http.",
            ("transport",),
            registry=self.registry,
        )
        transactions = Histogram(
            "patchbay_database_transaction_seconds",
            "Database transactions, the wait for a connection or for the lock included.",
            ("kind",),
            buckets=TRANSACTION_BOUNDS,
            registry=self.registry,
        )
        self._transactions = {kind: transactions.labels(kind) for kind in ("read", "write")}
        self._providers = sorted(providers)

    def collect(self) -> Iterable[Metric]:
        """Return all counters and histograms: this process's, or the sums of all that share them.

        Metrics of the process itself, such as its memory, are included where it is the only one.
        """
        self._begin_at_zero()
        if self._shared is None:
            return self.registry.collect()
        return (*self._build.collect(), *self._shared.collect())

    def _begin_at_zero(self) -> None:
        """Create every label set that is missing: Prometheus sees no increase in one that appears
        above zero.
        """
        for provider in (*self._providers, WEBSOCKET):
            for reason in EndReason:
                self._ended.labels(provider, reason.value)
        for provider in (*self._providers, UNKNOWN):
            for outcome in ANSWERS:
                self._answers.labels(provider, outcome)
        for transport in TRANSPORTS:
            self._refused.labels(transport)
        for outcome in DELIVERIES:
            self._deliveries.labels(outcome)

    def report_lost(self) -> None:
        """Count a report of the engine that the database refused."""
        self._lost.inc()

    def call_ended(self, provider: str, reason: EndReason) -> None:
        self._ended.labels(provider, reason.value).inc()

    def webhook_answered(self, provider: str, outcome: str, seconds: float) -> None:
        """Time a webhook. ``outcome`` is one of ``ANSWERS``; ``provider`` may be ``UNKNOWN``."""
        self._answers.labels(provider, outcome).observe(seconds)

    def count_deliveries(self, outcome: str, count: int = 1) -> None:
        """Count deliveries by outcome: of an attempt, or ``dead`` for expired events."""
        self._deliveries.labels(outcome).inc(count)

    def connection_failed(self) -> None:
        self._faults.inc()

    def message_refused(self, transport: str) -> None:
        """Count a message of another node that was refused. ``transport`` is one of
        ``TRANSPORTS``.
        """
        self._refused.labels(transport).inc()

    def transaction(self, kind: str) -> AbstractContextManager[object]:
        """Time a transaction of the kind ``read`` or ``write``."""
        return self._transactions[kind].time()
