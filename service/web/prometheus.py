"""The text format of Prometheus, made of counters and a health snapshot."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate

from prometheus_client import ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from service.cluster.process_stats import ProcessStats
from service.media.engine.lateness import BOUNDS
from service.telemetry.metrics import Metrics
from service.web.health import HealthSnapshot, Stored

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""The text format that every Prometheus reads."""

NODE = "node"
"""The label that tells the workers of a machine apart. It is left out where there is one."""


def exposition(metrics: Metrics, snapshot: HealthSnapshot) -> bytes:
    """Return the counters of ``metrics`` and the values of ``snapshot`` in the text format."""
    return generate_latest(_Exposed(metrics, snapshot))


class _Exposed(Collector):
    def __init__(self, metrics: Metrics, snapshot: HealthSnapshot) -> None:
        self._metrics = metrics
        self._snapshot = snapshot

    def collect(self) -> Iterable[Metric]:
        snapshot = self._snapshot
        yield from self._metrics.collect()
        yield from self._each(_process)
        yield from self._each(_threads)
        yield _gauge(
            "patchbay_calls_limit", "Calls there may be at a time (MAX_CALLS).", snapshot.call_limit
        )
        yield from self._each(_log)
        yield from _of_database(snapshot.stored)
        yield from self._each(_of_engine)
        yield _queues(snapshot)

    def _each(self, family: Callable[[ProcessStats], Iterable[Metric]]) -> Iterable[Metric]:
        """Return metrics of each process, with its node as a label where there are several."""
        merged: dict[str, Metric] = {}
        for process in self._snapshot.processes:
            for metric in family(process):
                if process.node is None:
                    yield metric
                    continue
                known = merged.setdefault(
                    metric.name, Metric(metric.name, metric.documentation, metric.type)
                )
                known.samples += [
                    each._replace(labels={**each.labels, **_node(process)})
                    for each in metric.samples
                ]
        yield from merged.values()


def _node(process: ProcessStats) -> dict[str, str]:
    return {} if process.node is None else {NODE: process.node}


def _process(process: ProcessStats) -> Iterable[Metric]:
    """Return memory, CPU time and descriptors. The metrics of an only process include them."""
    if process.node is None:
        return ()
    return ProcessCollector(pid=lambda: process.pid, registry=None).collect()


def _threads(process: ProcessStats) -> Iterable[Metric]:
    yield _gauge("patchbay_threads", "Threads of the process.", process.threads)


def _log(process: ProcessStats) -> Iterable[Metric]:
    yield _counter(
        "patchbay_log_lines_dropped_total",
        "Lines of the log that were dropped because nobody read it.",
        process.log_lines_dropped,
    )


def _queues(snapshot: HealthSnapshot) -> Metric:
    name, processes = "patchbay_queue_length", snapshot.processes
    waiting = GaugeMetricFamily(
        name, "Queues: events in the outbox, the engine's reports to the recorder, requests to it."
    )
    for process in processes:
        waiting.add_sample(name, {"queue": "reports", **_node(process)}, process.reports)
    if snapshot.stored is not None:
        waiting.add_sample(name, {"queue": "outbox"}, snapshot.stored.pending)
    for process in processes:
        if process.engine_stats is not None:
            requests = process.engine_stats.requests
            waiting.add_sample(name, {"queue": "requests", **_node(process)}, requests)
    return waiting


def _of_database(stored: Stored | None) -> Iterator[Metric]:
    yield _gauge("patchbay_database_up", "Whether the database answers.", stored is not None)
    if stored is not None:
        yield _gauge("patchbay_calls", "Calls and WebSocket sessions that are up.", stored.calls)


def _of_engine(process: ProcessStats) -> Iterator[Metric]:
    stats = process.engine_stats
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
