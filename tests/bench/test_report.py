"""The table, the JSON and the chart of a benchmark."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from dataclasses import replace

from bench.http_load import Answers
from bench.job import Reading
from bench.report.chart import chart
from bench.report.table import document, table
from bench.results import (
    AttackCost,
    ChurnCost,
    HistoryCost,
    RequestLoad,
    Results,
    Series,
    WorkersCost,
)
from tests.support.readings import GOOD

SVG = "{http://www.w3.org/2000/svg}"


def reading(calls: int, **changes: float) -> Reading:
    return replace(GOOD, calls=calls, server_cpu=calls / 1000, **changes)


RUNS = [reading(50), reading(200), reading(900)]
PATCHBAY = Series("Patchbay", "rooms of two", RUNS, reading(900), bounded=False)
FEW = [reading(50), reading(200, heard=0.5)]
OTHER = Series("A & B <server>", "rooms of two", FEW, reading(150), bounded=False)
ANSWERS = Answers(rate=1234.5, p50=2.04, p99=5.96, refused=0, cpu=0.05)
ROUNDS = [
    RequestLoad("webhook", None, ANSWERS, None),
    RequestLoad("webhook", 25.0, ANSWERS, reading(200)),
]
BESIDE = [
    AttackCost("none", reading(50)),
    AttackCost("pings", reading(50, lateness_p99=7.25), 9_900.0, 3),
]
RESULTS = Results(
    "A machine.", [PATCHBAY, OTHER], [reading(200)], ROUNDS, BESIDE, ["Node, since no"]
)


def line(text: str, beginning: str) -> str:
    [found] = [line for line in text.splitlines() if line.startswith(beginning)]
    return found


def test_the_table_has_a_line_for_each_server() -> None:
    text = table(RESULTS)
    cells = line(text, "Patchbay").split("  ")
    assert [cell.strip() for cell in cells if cell][:6] == [
        "Patchbay",
        "rooms of two",
        "900",
        "1.00",
        "1.00",
        "–",
    ]
    assert "Left out: Node, since no." in text
    assert "*" not in text


def test_the_cost_of_a_bad_run_is_not_shown() -> None:
    assert "  1.00  " in line(table(RESULTS), "A & B")
    assert line(table(RESULTS), "A & B").count("1.00 ") == 1


def test_a_server_without_a_limit_is_shown_as_none() -> None:
    none = Series("None", "rooms of two", [reading(50, heard=0.0)], None, False)
    results = replace(RESULTS, series=[none])
    assert "none" in line(table(results), "None")
    ET.fromstring(chart(results.series))


def test_a_disturbed_run_is_marked_and_explained() -> None:
    disturbed = reading(900, generator_cpu=0.95)
    results = replace(RESULTS, series=[replace(PATCHBAY, limit=disturbed, bounded=True)])
    text = table(results)
    assert "≥ 900*" in line(text, "Patchbay")
    assert "Disturbed" in text


def test_columns_are_aligned() -> None:
    lines = table(RESULTS).splitlines()
    head = next(line for line in lines if line.startswith("one server core"))
    row = line(table(RESULTS), "Patchbay")
    assert head.index("calls in") == row.index("rooms of two")
    assert len(row) == len(head)


def test_the_quality_of_calls_during_attacks_is_shown() -> None:
    cells = [cell.strip() for cell in line(table(RESULTS), "pings").split("  ") if cell]
    assert cells[:4] == ["pings", "10", "3", "7.2"]
    assert "50 calls during attacks." in table(RESULTS)


def test_long_calls_are_shown_alone_and_during_churn() -> None:
    turnover = ChurnCost(reading(500), replace(reading(500), server_cpu=0.6), 100, 1, 12.4)
    text = table(replace(RESULTS, turnovers=[turnover]))
    cells = [cell for cell in line(text, " 500").split(" ") if cell]
    assert cells[:4] == ["500", "50%", "60%", "1.20"]
    assert cells[-3:] == ["100", "1", "12"]


def test_two_workers_are_compared_with_one() -> None:
    pairs = [(reading(400), replace(reading(400), server_cpu=cpu)) for cpu in (0.44, 0.6, 0.4)]
    text = table(replace(RESULTS, series=[], several=[WorkersCost(pairs)]))
    cells = [cell for cell in line(text, "  400").split(" ") if cell]
    assert cells[:7] == ["400", "3", "40%", "44%", "1.10", "1.00", "1.50"]


def test_requests_are_shown_with_the_quality_of_the_calls() -> None:
    alone, during = [line for line in table(RESULTS).splitlines() if line.startswith("webhook")]
    assert "flat out" in alone
    assert "1234" in alone
    assert "25/s" in during
    assert "100.00%" in during


def test_the_document_is_valid_json_with_every_run() -> None:
    infinite = reading(300, latency_p99=float("inf"))
    results = replace(RESULTS, series=[replace(PATCHBAY, readings=[infinite])])
    found = json.loads(document(results), parse_constant=lambda name: 1 / 0)
    assert found["series"][0]["readings"][0]["latency_p99"] is None
    assert found["series"][0]["limit"]["calls"] == 900
    assert found["rounds"][0]["answers"]["rate"] == 1234.5


def test_the_chart_is_well_formed_and_draws_each_server() -> None:
    root = ET.fromstring(chart(RESULTS.series))
    assert root.tag == SVG + "svg"
    lines = root.findall(f"{SVG}polyline")
    assert [len(line.attrib["points"].split()) for line in lines] == [3, 1]
    words = [text.text for text in root.iter(f"{SVG}text")]
    assert "A & B <server>" in words
    assert "rooms of two: 900 calls" in words


def test_more_calls_lie_further_right_and_more_cpu_lies_higher() -> None:
    root = ET.fromstring(chart([PATCHBAY]))
    [line] = root.findall(f"{SVG}polyline")
    corners = [tuple(map(float, corner.split(","))) for corner in line.attrib["points"].split()]
    across, down = zip(*corners, strict=True)
    assert list(across) == sorted(across)
    assert list(down) == sorted(down, reverse=True)


def test_the_history_has_a_line_for_each_database_and_its_slowest_lists() -> None:
    lists = [(f"/v2/sip/call?page={number}", 10.0 * number) for number in range(1, 9)]
    past = HistoryCost("SQLite", 1_000_000, 31.0, (9.2, 9.9), (4.1, 4.0), lists)
    text = table(replace(RESULTS, past=[past]))
    first, *slowest = [line for line in text.splitlines() if line.startswith("SQLite")]
    assert first.split() == ["SQLite", "1,000,000", "31", "9.2", "9.9", "4.1", "4.0", "8", "80"]
    assert [line.split()[-1] for line in slowest] == ["80", "70", "60", "50", "40"]
    assert json.loads(document(replace(RESULTS, past=[past])))["past"][0]["webhook"] == [9.2, 9.9]
