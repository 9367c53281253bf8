"""What a whole benchmark has found, as values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.http_load import Answers
from bench.job import Reading

COSTS = (50, 200, 500)
"""Numbers of calls at which the cost of a call is shown."""


@dataclass(frozen=True, slots=True)
class Series:
    """One server and one kind of calls: all runs in order, and the one that confirmed its limit.

    ``bounded`` says that it was the load generator, or the ceiling of the search, that set it.
    """

    name: str
    rooms: str
    readings: Sequence[Reading]
    limit: Reading | None
    bounded: bool

    def at(self, calls: int) -> Reading | None:
        """The first run with so many calls."""
        return next((reading for reading in self.readings if reading.calls == calls), None)


@dataclass(frozen=True, slots=True)
class Round:
    """Requests of one kind at one pace (requests a second, ``None`` for flat out).

    ``calls`` is what the calls beside them felt, where there were any.
    """

    kind: str
    pace: float | None
    answers: Answers
    calls: Reading | None


@dataclass(frozen=True, slots=True)
class Beside:
    """What the calls beside bad peers of one kind felt, or beside none.

    ``rate`` is what those sent in bytes a second, ``closed`` how often one of them was put out.
    """

    peers: str
    calls: Reading
    rate: float = 0.0
    closed: int = 0


@dataclass(frozen=True, slots=True)
class Past:
    """The cost of a history of ``calls`` calls. All times are milliseconds but ``loaded``, which is
    seconds: p99 with an empty database and with them, and the longest that each list took.
    """

    kind: str
    calls: int
    loaded: float
    webhook: tuple[float, float]
    upgrade: tuple[float, float]
    lists: Sequence[tuple[str, float]]


@dataclass(frozen=True, slots=True)
class Turnover:
    """Cost and quality of long calls, alone (``quiet``) and beside short calls.

    ``begun`` short calls came and ``failed`` were refused; ``answer_p99`` is in milliseconds, from
    the webhook to the open socket.
    """

    quiet: Reading
    busy: Reading
    begun: int
    failed: int
    answer_p99: float

    @property
    def ratio(self) -> float:
        """The server's CPU beside them to its CPU without."""
        return self.busy.server_cpu / max(self.quiet.server_cpu, 1e-6)


@dataclass(frozen=True, slots=True)
class Results:
    """``left_out`` says what could not be run, and why."""

    machine: str
    series: Sequence[Series]
    growth: Sequence[Reading]
    rounds: Sequence[Round]
    beside: Sequence[Beside]
    left_out: Sequence[str]
    past: Sequence[Past] = ()
    turnovers: Sequence[Turnover] = ()
