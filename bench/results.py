"""Results of a benchmark, as values. Field names are the keys of ``results.json``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from bench.http_load import Answers
from bench.job import Reading

COSTS = (50, 200, 500)
"""Numbers of calls at which the cost of a call is shown."""


@dataclass(frozen=True, slots=True)
class Series:
    """All runs of one server with one workload, in order, and the run that confirmed its limit.

    ``bounded`` is set if the load generator or the search's ceiling set the limit.
    """

    name: str
    rooms: str
    readings: Sequence[Reading]
    limit: Reading | None
    bounded: bool

    def at(self, calls: int) -> Reading | None:
        """Return the first run with this number of calls."""
        return next((reading for reading in self.readings if reading.calls == calls), None)


@dataclass(frozen=True, slots=True)
class RequestLoad:
    """Requests of one kind at one pace (requests a second, ``None`` for flat out).

    ``calls`` is the reading of the calls during the requests, if there were any.
    """

    kind: str
    pace: float | None
    answers: Answers
    calls: Reading | None


@dataclass(frozen=True, slots=True)
class AttackCost:
    """The calls' reading during one kind of attack, or without one.

    ``peers`` names the attack, ``rate`` is its bytes a second, and ``closed`` counts how often the
    server disconnected an attacker.
    """

    peers: str
    calls: Reading
    rate: float = 0.0
    closed: int = 0


@dataclass(frozen=True, slots=True)
class HistoryCost:
    """The cost of a history of ``calls`` calls.

    ``webhook`` and ``upgrade`` are p99 in milliseconds with an empty database and with the history,
    ``lists`` has the slowest read of each list in milliseconds, and ``loaded`` is in seconds.
    """

    kind: str
    calls: int
    loaded: float
    webhook: tuple[float, float]
    upgrade: tuple[float, float]
    lists: Sequence[tuple[str, float]]


@dataclass(frozen=True, slots=True)
class ChurnCost:
    """Cost and quality of long calls, alone (``quiet``) and during short calls (``busy``).

    ``begun`` counts the short calls and ``failed`` the refused ones. ``answer_p99`` is in
    milliseconds from the webhook to the open socket.
    """

    quiet: Reading
    busy: Reading
    begun: int
    failed: int
    answer_p99: float

    @property
    def ratio(self) -> float:
        """The server's CPU with short calls divided by its CPU without."""
        return self.busy.server_cpu / max(self.quiet.server_cpu, 1e-6)


@dataclass(frozen=True, slots=True)
class WorkersCost:
    """Calls to a server with one worker and to one with two on the same core, in ``pairs`` of runs.

    The runs of a pair follow each other, so a machine whose speed drifts changes both alike.
    """

    pairs: Sequence[tuple[Reading, Reading]]

    @property
    def ratios(self) -> list[float]:
        """The CPU of two workers divided by that of one, for each pair, in ascending order."""
        return sorted(two.server_cpu / max(one.server_cpu, 1e-6) for one, two in self.pairs)

    @property
    def ratio(self) -> float:
        """The median of the pairs' ratios."""
        return median(self.ratios)


@dataclass(frozen=True, slots=True)
class Results:
    """All results. ``left_out`` names what could not be run, and why."""

    machine: str
    series: Sequence[Series]
    growth: Sequence[Reading]
    rounds: Sequence[RequestLoad]
    beside: Sequence[AttackCost]
    left_out: Sequence[str]
    past: Sequence[HistoryCost] = ()
    turnovers: Sequence[ChurnCost] = ()
    several: Sequence[WorkersCost] = ()
