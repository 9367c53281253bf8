"""Format the results as a table and as JSON. This file does no I/O."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from statistics import median

from bench.job import Reading
from bench.results import (
    COSTS,
    AttackCost,
    ChurnCost,
    HistoryCost,
    RequestLoad,
    Results,
    Series,
    WorkersCost,
)
from bench.search import disturbances, faults

DISTURBED = "*"


def document(results: Results) -> str:
    """Return all results as JSON. Infinity, the delay when nothing arrived, becomes null."""
    return json.dumps(_finite(asdict(results)), indent=1) + "\n"


def table(results: Results) -> str:
    """Return the results as a table."""
    parts = [results.machine]
    if results.series:
        parts += ["", *_servers(results.series)]
    if results.growth:
        parts += ["", *_growth(results.growth)]
    if results.turnovers:
        parts += ["", *_turnovers(results.turnovers)]
    if results.several:
        parts += ["", *_several(results.several)]
    if results.rounds:
        parts += ["", *_rounds(results.rounds)]
    if results.beside:
        parts += ["", *_besides(results.beside)]
    if results.past:
        parts += ["", *_pasts(results.past)]
    if results.left_out:
        parts += ["", *(f"Left out: {reason}." for reason in results.left_out)]
    parts += ["", *_notes(results)]
    return "\n".join(parts) + "\n"


def _servers(series: Sequence[Series]) -> Iterator[str]:
    costs = [f"at {calls}" for calls in COSTS]
    head = ["one server core", "calls in", "calls", *costs, "KB/call", "p50", "p99"]
    head += ["late p99", "heard", "exact", "gen. CPU", "gen. late"]
    rows = [_server(one) for one in series]
    yield "Most calls per core, and CPU ms per call-second; times in ms, at that many calls."
    yield from _aligned([head, *rows], left=2)


def _server(series: Series) -> list[str]:
    costs = [series.at(calls) for calls in COSTS]
    shown = [f"{one.cost:.2f}{_mark(one)}" if one and not faults(one) else "–" for one in costs]
    limit = series.limit
    if limit is None:
        return [series.name, series.rooms, "none", *shown, *["–"] * 8]
    # The run with the most calls has the smallest share of fixed memory.
    memory = max(
        (one for one in series.readings if not faults(one)), key=lambda one: one.calls
    ).memory
    return [
        series.name,
        series.rooms,
        f"{'≥ ' if series.bounded else ''}{limit.calls}{_mark(limit)}",
        *shown,
        f"{memory / 1024:.0f}",
        f"{limit.latency_p50:.0f}",
        f"{limit.latency_p99:.0f}",
        f"{limit.lateness_p99:.0f}",
        f"{limit.heard:.2%}",
        f"{limit.exact:.2%}",
        f"{limit.generator_cpu:.0%}",
        f"{limit.generator_lateness_p99:.1f}",
    ]


def _growth(growth: Sequence[Reading]) -> Iterator[str]:
    yield f"{growth[0].calls} calls in rooms of increasing size."
    head = ["room of", "CPU ms per call-second", "p50", "p99", "heard", "exact"]
    yield from _aligned(
        [
            head,
            *(
                [
                    str(one.room_size),
                    f"{one.cost:.2f}{_mark(one)}",
                    f"{one.latency_p50:.0f}",
                    f"{one.latency_p99:.0f}",
                    f"{one.heard:.2%}",
                    f"{one.exact:.2%}",
                ]
                for one in growth
            ),
        ],
        left=0,
    )


def _several(several: Sequence[WorkersCost]) -> Iterator[str]:
    yield "One worker and two, on the same core: the median of pairs of runs, and the worst p99."
    head = ["calls", "pairs", "CPU of one", "of two", "ratio", "from", "to", "p99", "of two"]
    head += ["heard", "of two"]
    yield from _aligned([head, *map(_workers, several)], left=0)


def _workers(cost: WorkersCost) -> list[str]:
    ones, twos = zip(*cost.pairs, strict=True)
    marks = {_mark(each) for each in (*ones, *twos)} - {""}
    return [
        f"{ones[0].calls}{''.join(marks)}",
        str(len(cost.pairs)),
        *(f"{median(each.server_cpu for each in readings):.0%}" for readings in (ones, twos)),
        f"{cost.ratio:.2f}",
        *(f"{cost.ratios[place]:.2f}" for place in (0, -1)),
        *(f"{max(each.latency_p99 for each in readings):.0f}" for readings in (ones, twos)),
        *(f"{min(each.heard for each in readings):.2%}" for readings in (ones, twos)),
    ]


def _turnovers(turnovers: Sequence[ChurnCost]) -> Iterator[str]:
    yield "Long calls alone, and during short calls."
    head = ["long", "CPU", "during", "ratio", "late p99", "during", "p99", "during"]
    head += ["heard", "during", "short", "refused", "answered p99"]
    yield from _aligned([head, *map(_turnover, turnovers)], left=0)


def _turnover(one: ChurnCost) -> list[str]:
    quiet, busy = one.quiet, one.busy
    return [
        f"{quiet.calls}{_mark(quiet) or _mark(busy)}",
        f"{quiet.server_cpu:.0%}",
        f"{busy.server_cpu:.0%}",
        f"{one.ratio:.2f}",
        f"{quiet.lateness_p99:.1f}",
        f"{busy.lateness_p99:.1f}",
        f"{quiet.latency_p99:.0f}",
        f"{busy.latency_p99:.0f}",
        f"{quiet.heard:.2%}",
        f"{busy.heard:.2%}",
        str(one.begun),
        str(one.failed),
        f"{one.answer_p99:.0f}",
    ]


def _rounds(rounds: Sequence[RequestLoad]) -> Iterator[str]:
    yield "Requests to the same process, alone and during calls."
    head = ["request", "calls", "asked", "answered/s", "p50", "p99", "refused", "client CPU"]
    head += ["calls heard", "calls p99"]
    yield from _aligned([head, *map(_round, rounds)], left=1)


def _round(one: RequestLoad) -> list[str]:
    quality = (f"{one.calls.heard:.2%}", f"{one.calls.latency_p99:.0f}") if one.calls else ("", "")
    return [
        one.kind,
        f"{one.calls.calls}{_mark(one.calls)}" if one.calls else "none",
        "flat out" if one.pace is None else f"{one.pace:g}/s",
        f"{one.answers.rate:.0f}",
        f"{one.answers.p50:.1f}",
        f"{one.answers.p99:.1f}",
        str(one.answers.refused),
        f"{one.answers.cpu:.0%}",
        *quality,
    ]


def _besides(beside: Sequence[AttackCost]) -> Iterator[str]:
    yield f"{beside[0].calls.calls} calls during attacks."
    head = ["attack", "KB/s", "disconnected", "calls late p99", "p50", "p99", "heard", "exact"]
    yield from _aligned([head, *map(_beside, beside)], left=1)


def _beside(one: AttackCost) -> list[str]:
    return [
        one.peers,
        f"{one.rate / 1000:.0f}",
        str(one.closed),
        f"{one.calls.lateness_p99:.1f}{_mark(one.calls)}",
        f"{one.calls.latency_p50:.0f}",
        f"{one.calls.latency_p99:.0f}",
        f"{one.calls.heard:.2%}",
        f"{one.calls.exact:.2%}",
    ]


SLOWEST = 5
"""Number of lists in the table."""


def _pasts(pasts: Sequence[HistoryCost]) -> Iterator[str]:
    yield "New calls with a history: p99 in ms with an empty database, and with the history."
    head = ["database", "calls", "loaded in s", "webhook", "with", "upgrade", "with"]
    head += ["lists", "slowest list"]
    yield from _aligned([head, *map(_past, pasts)], left=1)
    yield ""
    yield "The slowest lists, in ms."
    slowest = [(one.kind, path, ms) for one in pasts for path, ms in _slowest(one)]
    yield from _aligned([[kind, path, f"{ms:.0f}"] for kind, path, ms in slowest], left=2)


def _past(one: HistoryCost) -> list[str]:
    times = (*one.webhook, *one.upgrade)
    return [
        one.kind,
        f"{one.calls:,}",
        f"{one.loaded:.0f}",
        *(f"{each:.1f}" for each in times),
        str(len(one.lists)),
        f"{_slowest(one)[0][1]:.0f}" if one.lists else "–",
    ]


def _slowest(one: HistoryCost) -> Sequence[tuple[str, float]]:
    return sorted(one.lists, key=lambda each: -each[1])[:SLOWEST]


def _notes(results: Results) -> Iterator[str]:
    yield "heard: share of the frames that sampled listeners should hear; exact: share of the heard"
    yield "frames that are exact to the last sample; p50, p99: from sending a frame to hearing it;"
    yield "late: beyond 20 ms after the frame before; gen.: the load generator, on its own core."
    readings = [reading for one in results.series for reading in (one.limit, *one.readings)]
    readings += [each for one in results.turnovers for each in (one.quiet, one.busy)]
    readings += [each for one in results.several for pair in one.pairs for each in pair]
    readings += [*results.growth, *(one.calls for one in (*results.rounds, *results.beside))]
    if any(reading is not None and disturbances(reading) for reading in readings):
        yield f"{DISTURBED} Disturbed: the load generator fell behind, or other processes took CPU."
    if any(one.bounded for one in results.series):
        yield "≥ The load generator or the ceiling of the search set this limit."


def _mark(reading: Reading) -> str:
    return DISTURBED if disturbances(reading) else ""


def _aligned(rows: Sequence[Sequence[str]], *, left: int) -> Iterator[str]:
    """Align columns: the first ``left`` to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            cell.ljust(width) if place < left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()


def _finite(value: object) -> object:
    match value:
        case dict():
            return {key: _finite(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_finite(inner) for inner in value]
        case float():
            return round(value, 5) if abs(value) != float("inf") else None
        case _:
            return value
