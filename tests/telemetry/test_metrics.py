"""Metrics as Prometheus reads them."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from service.cluster.process_stats import ProcessStats
from service.domain.calls import EndReason
from service.media.engine.lateness import BOUNDS
from service.media.engine.stats import EngineStats, Frames
from service.process.machine import COUNTERS
from service.providers import load
from service.telemetry.metrics import Metrics
from service.telemetry.shared_counters import SharedCounters
from service.web.health import HealthSnapshot, Stored
from service.web.prometheus import exposition

COUNTS = tuple(range(1, len(BOUNDS) + 2))

STATS = EngineStats(
    lateness=COUNTS,
    late_seconds=1.5,
    late=7,
    skipped=3,
    frames=Frames(received=100, sent=200, late=1, lost=2, dropped=3, unsent=4),
    sockets=6,
    joined=5,
    requests=9,
    faults=2,
)
PROCESS = ProcessStats(
    node=None,
    pid=os.getpid(),
    cpu_seconds=2.5,
    memory=100_000,
    threads=31,
    log_lines_dropped=12,
    reports=8,
    engine_stats=STATS,
)
STORED = Stored(calls=4, pending=11, seconds=0.001)
WELL = HealthSnapshot(200, STORED, (PROCESS,))
UNWELL = HealthSnapshot(200, None, (replace(PROCESS, engine_stats=None),))


def families(metrics: Metrics, snapshot: HealthSnapshot = WELL) -> dict[str, Metric]:
    text = exposition(metrics, snapshot).decode()
    return {family.name: family for family in text_string_to_metric_families(text)}


def values(metrics: Metrics, snapshot: HealthSnapshot = WELL) -> dict[tuple[str, ...], float]:
    """Return samples by name and label values, in the order of label names."""
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in families(metrics, snapshot).values()
        for sample in family.samples
    }


def test_ends_of_calls_are_counted_by_provider_and_reason() -> None:
    metrics = Metrics(load())
    for _ in range(2):
        metrics.call_ended("twilio", EndReason.CALLER_HUNG_UP)
    metrics.call_ended("websocket", EndReason.REPLACED)
    found = values(metrics)
    assert found["patchbay_calls_ended_total", "twilio", "caller-hung-up"] == 2
    assert found["patchbay_calls_ended_total", "websocket", "replaced"] == 1


def test_two_registries_in_one_process_do_not_mix() -> None:
    one, other = Metrics(load()), Metrics(load())
    one.count_deliveries("delivered")
    assert values(other)["patchbay_deliveries_total", "delivered"] == 0


def test_answers_are_timed_by_provider_and_outcome() -> None:
    metrics = Metrics(load())
    metrics.webhook_answered("plivo", "answered", 0.03)
    found = values(metrics)
    name = "patchbay_webhook_answer_seconds"
    assert found[f"{name}_sum", "answered", "plivo"] == pytest.approx(0.03)
    assert found[f"{name}_bucket", "0.02", "answered", "plivo"] == 0
    assert found[f"{name}_bucket", "0.05", "answered", "plivo"] == 1


def test_dead_events_are_counted_together() -> None:
    metrics = Metrics(load())
    metrics.count_deliveries("refused")
    metrics.count_deliveries("dead", 12)
    found = values(metrics)
    assert found["patchbay_deliveries_total", "refused"] == 1
    assert found["patchbay_deliveries_total", "dead"] == 12


def test_refused_messages_of_nodes_are_counted_by_transport() -> None:
    metrics = Metrics(load())
    metrics.message_refused("socket")
    found = values(metrics)
    assert found["patchbay_cluster_refused_total", "socket"] == 1
    assert found["patchbay_cluster_refused_total", "http"] == 0


def test_failed_transactions_are_timed_too() -> None:
    metrics = Metrics(load())
    with metrics.transaction("read"):
        pass
    with pytest.raises(LookupError), metrics.transaction("write"):
        raise LookupError
    found = values(metrics)
    assert found["patchbay_database_transaction_seconds_count", "read"] == 1
    assert found["patchbay_database_transaction_seconds_count", "write"] == 1


def test_the_lateness_of_ticks_is_a_histogram() -> None:
    found = values(Metrics(load()))
    name = "patchbay_tick_lateness_seconds"
    assert found[f"{name}_bucket", "0.0005"] == 1
    assert found[f"{name}_bucket", "0.001"] == 3
    assert found[f"{name}_bucket", "+Inf"] == found[f"{name}_count",] == sum(COUNTS)
    assert found[f"{name}_sum",] == 1.5


def test_engine_and_queues_are_read_on_request() -> None:
    found = values(Metrics(load()))
    assert found["patchbay_frames_total", "in"] == 100
    assert found["patchbay_frames_total", "out"] == 200
    drops = [
        found["patchbay_audio_drops_total", cause]
        for cause in ("late", "lost", "dropped", "unsent")
    ]
    assert drops == [1, 2, 3, 4]
    lengths = [found["patchbay_queue_length", queue] for queue in ("outbox", "reports", "requests")]
    assert lengths == [11, 8, 9]
    assert (found["patchbay_calls",], found["patchbay_calls_limit",]) == (4, 200)
    assert (found["patchbay_sockets",], found["patchbay_legs",]) == (6, 5)
    assert (found["patchbay_ticks_late_total",], found["patchbay_ticks_skipped_total",]) == (7, 3)
    assert found["patchbay_engine_faults_total",] == 2


def test_an_only_process_has_no_label() -> None:
    text = exposition(Metrics(load()), WELL).decode()
    assert "node=" not in text
    assert text.count("process_resident_memory_bytes ") == 3
    assert "patchbay_threads 31.0\n" in text


def test_each_of_several_processes_has_its_own_values() -> None:
    one = replace(PROCESS, node="one")
    other = replace(PROCESS, node="other", reports=2, engine_stats=replace(STATS, sockets=1))
    found = families(Metrics(load()), HealthSnapshot(200, STORED, (one, other)))
    for name, expected in (
        ("patchbay_sockets", {"one": 6, "other": 1}),
        ("patchbay_engine_up", {"one": 1, "other": 1}),
        ("patchbay_threads", {"one": 31, "other": 31}),
        ("patchbay_log_lines_dropped", {"one": 12, "other": 12}),
    ):
        (family,) = [each for each in found.values() if each.name == name]
        assert {each.labels["node"]: each.value for each in family.samples} == expected
    memory = found["process_resident_memory_bytes"].samples
    assert {each.labels.get("node") for each in memory} >= {"one", "other"}
    lengths = found["patchbay_queue_length"].samples
    assert {(each.labels["queue"], each.labels.get("node")): each.value for each in lengths} == {
        ("reports", "one"): 8,
        ("reports", "other"): 2,
        ("outbox", None): 11,
        ("requests", "one"): 9,
        ("requests", "other"): 9,
    }


def test_processes_that_share_counters_are_summed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that follows another one under its number counts on."""
    monkeypatch.setenv(COUNTERS, str(tmp_path))
    texts = []
    for number, delivered in ((0, 2), (1, 3), (0, 4)):
        shared = SharedCounters(tmp_path, number)
        try:
            metrics = Metrics(load(), shared)
            for _ in range(delivered):
                metrics.count_deliveries("delivered")
            metrics.webhook_answered("plivo", "answered", 0.03)
            texts.append(values(metrics))
        finally:
            shared.close()
    name = "patchbay_webhook_answer_seconds"
    for found, delivered, answers in zip(texts, (2, 5, 9), (1, 2, 3), strict=True):
        assert found["patchbay_deliveries_total", "delivered"] == delivered
        assert found["patchbay_deliveries_total", "dead"] == 0
        assert found[f"{name}_count", "answered", "plivo"] == answers
        assert found[f"{name}_bucket", "0.02", "answered", "plivo"] == 0
        assert found[f"{name}_bucket", "+Inf", "answered", "plivo"] == answers
    assert set(values(Metrics(load()))) - set(texts[0]) == {
        key for key in values(Metrics(load())) if key[0].endswith("_created")
    } | {key for key in values(Metrics(load())) if key[0].startswith("process_")}


def test_missing_folder_of_counters_leaves_the_other_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "counters"
    folder.mkdir()
    monkeypatch.setenv(COUNTERS, str(folder))
    shared = SharedCounters(folder, 0)
    try:
        metrics = Metrics(load(), shared)
        shutil.rmtree(folder)
        assert values(metrics)["patchbay_engine_up",] == 1
    finally:
        shared.close()


def test_silent_database_and_engine_are_down_and_have_no_stats() -> None:
    found = values(Metrics(load()), UNWELL)
    assert (found["patchbay_database_up",], found["patchbay_engine_up",]) == (0, 0)
    assert ("patchbay_calls",) not in found
    assert "patchbay_ticks_late_total" not in str(list(found))
    assert found["patchbay_queue_length", "reports"] == 8


def test_names_have_the_prefix_and_their_unit() -> None:
    ours = [name for name in families(Metrics(load())) if not name.startswith("process_")]
    assert ours
    assert [name for name in ours if not re.fullmatch("patchbay_[a-z_]+", name)] == []
    # prometheus_client's parser calls a counter without its _total.
    plain = {
        family.name for family in families(Metrics(load())).values() if family.type == "histogram"
    }
    assert [name for name in plain if not name.endswith("_seconds")] == []


def test_every_label_set_exists_at_the_start() -> None:
    """Prometheus sees no increase in a series that begins with one."""
    found = values(Metrics(load()))
    for outcome in ("delivered", "refused", "unanswered", "dead"):
        assert found["patchbay_deliveries_total", outcome] == 0
    for provider in ("twilio", "plivo", "telnyx", "unknown"):
        for outcome in ("answered", "refused", "failed"):
            assert found["patchbay_webhook_answer_seconds_count", outcome, provider] == 0
    for provider in ("twilio", "plivo", "telnyx", "websocket"):
        for reason in EndReason:
            assert found["patchbay_calls_ended_total", provider, reason.value] == 0
