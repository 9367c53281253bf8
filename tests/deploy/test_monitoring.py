"""``deploy/grafana.json`` and ``deploy/alerts.yml``, held to the metrics and judged by promtool."""

from __future__ import annotations

import json
import re
import subprocess
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.installed import installed
from tests.support.paths import ROOT

DEPLOY = ROOT / "deploy"
DASHBOARD = DEPLOY / "grafana.json"
ALERTS = DEPLOY / "alerts.yml"
ALERT_TESTS = Path(__file__).with_name("alerts.yml")

COLUMNS = 24
"""Width of Grafana's grid."""

Panel = dict[str, Any]


@pytest.fixture(scope="module")
def dashboard() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return document


@pytest.fixture(scope="module")
def panels(dashboard: dict[str, Any]) -> list[Panel]:
    panels: list[Panel] = dashboard["panels"]
    return panels


@pytest.fixture(scope="module")
def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(ALERTS.read_text())["groups"]
    rules: list[dict[str, Any]] = group["rules"]
    return rules


def metrics(expression: str) -> set[str]:
    return set(re.findall(r"\b(?:patchbay|process)_[a-z_]+", expression))


def labels(expression: str) -> set[str]:
    """Labels that the expression groups or selects by."""
    grouped = ",".join(re.findall(r"\bby \(([^)]*)\)", expression)).replace(" ", "").split(",")
    return {*filter(None, grouped), *re.findall(r"[{,]\s*(\w+)(?:=|!)", expression)}


def require_exposed(expression: str, exposed: dict[str, set[str]]) -> None:
    names = metrics(expression)
    assert names, expression
    assert names <= exposed.keys()
    for name in names:
        assert labels(expression) <= exposed[name], expression


def test_dashboard_uses_exposed_metrics_and_labels(
    panels: list[Panel], exposed: dict[str, set[str]]
) -> None:
    for panel in panels:
        for target in panel["targets"]:
            require_exposed(target["expr"], exposed)
            shown = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
            assert all(shown <= exposed[name] for name in metrics(target["expr"]))


def test_dashboard_shows_every_metric_of_patchbay(
    panels: list[Panel], exposed: dict[str, set[str]]
) -> None:
    shown = set().union(*(metrics(each["expr"]) for panel in panels for each in panel["targets"]))
    base = re.compile("_(?:bucket|count|sum|total|created)$")
    ours = {base.sub("", name) for name in exposed if name.startswith("patchbay_")}
    assert ours - {base.sub("", name) for name in shown} == {"patchbay_build_info"}


def test_dashboard_has_unique_panels_and_queries(panels: list[Panel]) -> None:
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({panel["title"] for panel in panels}) == len(panels)
    for panel in panels:
        references = [target["refId"] for target in panel["targets"]]
        assert references
        assert len(set(references)) == len(references)


def test_dashboard_asks_the_data_source_that_its_reader_chooses(
    dashboard: dict[str, Any], panels: list[Panel]
) -> None:
    (variable,) = dashboard["templating"]["list"]
    assert (variable["type"], variable["query"]) == ("datasource", "prometheus")
    chosen = {"type": "prometheus", "uid": f"${{{variable['name']}}}"}
    assert all(panel["datasource"] == chosen for panel in panels)
    assert all("datasource" not in target for panel in panels for target in panel["targets"])


def test_dashboard_can_be_imported(dashboard: dict[str, Any]) -> None:
    # Grafana creates a dashboard whose id is absent, and finds an older version of it by its uid.
    assert "id" not in dashboard
    assert re.fullmatch("[a-zA-Z0-9_-]{1,40}", dashboard["uid"])
    assert isinstance(dashboard["schemaVersion"], int)


def test_dashboard_panels_do_not_overlap(panels: list[Panel]) -> None:
    for panel in panels:
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= COLUMNS
    for one, other in combinations([panel["gridPos"] for panel in panels], 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or below


def test_alerts_use_exposed_metrics(
    rules: list[dict[str, Any]], exposed: dict[str, set[str]]
) -> None:
    assert len(rules) == 5
    for rule in rules:
        assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
        names = metrics(rule["expr"])
        assert names
        assert names <= exposed.keys()


def promtool(*arguments: str | Path) -> None:
    tool = installed("promtool", required_by="REQUIRE_PROMTOOL")
    judged = subprocess.run([tool, *arguments], capture_output=True, text=True, check=False)
    assert judged.returncode == 0, judged.stdout + judged.stderr


def test_prometheus_accepts_the_alerts() -> None:
    promtool("check", "rules", ALERTS)


def test_alerts_fire_when_they_should_and_not_when_they_should_not() -> None:
    promtool("test", "rules", ALERT_TESTS)


def test_each_alert_is_tested_firing_and_not_firing(rules: list[dict[str, Any]]) -> None:
    cases = yaml.safe_load(ALERT_TESTS.read_text())["tests"]
    seen = {
        (each["alertname"], bool(each["exp_alerts"]))
        for case in cases
        for each in case["alert_rule_test"]
    }
    names = [rule["alert"] for rule in rules]
    assert seen == {(name, fires) for name in names for fires in (True, False)}
