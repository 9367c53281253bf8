"""Run the sections of the benchmark in order, and report progress."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence

from bench import history_load, http_load
from bench.attackers import ATTACKERS, Attacker, attacking
from bench.churn import RATE, churning
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
from bench.search import bounded, confirmed, disturbances, faults, largest
from bench.servers import SERVER_TYPES, TWO_WORKERS, serving
from bench.trial import Cores, Workload, loading, trial

CEILING = 2400
"""Upper limit of the search, close to the load generator's own limit."""

SECONDS = 5
"""Length of a run that measures the cost of calls."""

LONG = 20
"""Seconds for which the highest number of calls must run without faults."""

GROWTH_CALLS = 200
GROWTH_ROOMS = (2, 10, 50)

QUIET_CALLS = 50
"""Calls during an attack: few, so that the attack's cost stands out from theirs."""

HELD = (200, 500)
"""Long calls during churn."""

SHARED = (200, 400)
"""Calls to two workers."""

PAIRS = 5
"""Pairs of runs with one worker and with two."""

BESIDE = (0, 200)
"""Calls during the HTTP requests."""

PACES = (25.0, None)
"""Requests a second; ``None`` sends the next request as soon as the answer is there."""

REQUESTS = {"webhook": http_load.webhooks, "connectors": http_load.connectors}

HISTORY = 100_000
"""Finished calls, inserted within seconds. The figures in docs/benchmark.md use a million."""

TWO = Workload()
TEN = Workload(room_size=10)
DIALECTS = Workload(room_size=4, dialects=("twilio", "plivo", "telnyx", "websocket"))

SECTIONS = {
    "two": 250,
    "ten": 130,
    "dialects": 170,
    "alternatives": 350,
    "growth": 45,
    "churn": 80,
    "workers": 250,
    "requests": 90,
    "peers": 140,
    "history": 60,
}
"""Approximate seconds of each section without ``--fine``."""


class Bench:
    """A run of the chosen sections. ``cores`` are the server's and the load generator's."""

    def __init__(
        self, cores: Cores, *, fine: bool, history: int = HISTORY, postgres: str | None = None
    ) -> None:
        """``history`` is the number of finished calls, ``postgres`` the URL of a database."""
        self._cores = cores
        self._history = history
        self._postgres = postgres
        # A search finer than a tenth would measure the machine's variation.
        self._probe, self._precision, self._duration = (5, 1.1, 1.5) if fine else (3, 1.25, 1.0)

    def run(self, machine: str, sections: Sequence[str]) -> Results:
        series: list[Series] = []
        growth: list[Reading] = []
        rounds: list[RequestLoad] = []
        beside: list[AttackCost] = []
        histories: list[HistoryCost] = []
        turnovers: list[ChurnCost] = []
        several: list[WorkersCost] = []
        chosen = [name for name in SECTIONS if name in sections]
        for place, name in enumerate(chosen):
            left = self._duration * sum(SECTIONS[section] for section in chosen[place:])
            _tell(f"[{place + 1}/{len(chosen)}] {name}; about {left / 60:.0f} min left")
            match name:
                case "two":
                    series.append(self._series(TWO))
                case "ten":
                    series.append(self._series(TEN, like=series))
                case "dialects":
                    series.append(self._series(DIALECTS, like=series))
                case "alternatives":
                    others = (Workload(one) for one in SERVER_TYPES if one is not TWO.server_type)
                    series += [
                        self._series(each) for each in others if not each.server_type.missing()
                    ]
                case "growth":
                    growth += [
                        self._trial(Workload(room_size=size), GROWTH_CALLS, SECONDS)
                        for size in GROWTH_ROOMS
                    ]
                case "churn":
                    turnovers += [self._churn(calls) for calls in HELD]
                case "workers":
                    several += [self._workers(calls) for calls in SHARED]
                case "requests":
                    rounds += self._request_loads()
                case "peers":
                    beside += [self._attack(attacker) for attacker in (None, *ATTACKERS)]
                case "history":
                    histories += self._histories()
        left_out = [f"{one.name}, since {one.missing()}" for one in SERVER_TYPES if one.missing()]
        if "history" in chosen and self._postgres is None:
            left_out.append("history on Postgres, since --postgres is not set")
        return Results(
            machine, series, growth, rounds, beside, left_out, histories, turnovers, several
        )

    def _series(self, workload: Workload, like: Sequence[Series] = ()) -> Series:
        """Measure the cost at fixed numbers of calls, then search for the highest number.

        A series of a similar workload, if there is one, gives the start of the search.
        """
        readings: list[Reading] = []

        def run(calls: int, seconds: int) -> Reading:
            reading = self._trial(workload, calls, seconds)
            readings.append(reading)
            if faults(reading) and disturbances(reading):
                # The disturbance may have passed: try once more.
                reading = self._trial(workload, calls, seconds)
                readings.append(reading)
            return reading

        similar = like[0].limit if like else None
        if similar is not None:
            guess = similar.calls
        else:
            for calls in COSTS:
                if faults(run(calls, SECONDS)):
                    break
            # Nine tenths of the core at a constant cost per call.
            fine = [one for one in readings if not faults(one)] or readings
            guess = int(0.9 * fine[-1].calls / max(fine[-1].server_cpu, 0.01))
        most = largest(
            lambda calls: not faults(run(calls, self._probe)),
            guess,
            unit=workload.room_size,
            ceiling=CEILING,
            precision=self._precision,
        )
        limit = confirmed(lambda calls: run(calls, LONG), most, unit=workload.room_size)
        return Series(
            workload.server_type.name, str(workload), readings, limit, bounded(readings, limit)
        )

    def _trial(self, workload: Workload, calls: int, seconds: int) -> Reading:
        began = time.monotonic()
        reading = trial(workload, calls, seconds, self._cores)
        verdict = ", ".join(faults(reading)) or "good"
        causes = ", ".join(disturbances(reading))
        disturbed = f" (disturbed: {causes})" if causes else ""
        _tell(
            f"  {workload.server_type.name}, {workload}: {calls} calls, "
            f"{reading.server_cpu:.0%} CPU, "
            f"{reading.latency_p50:.0f}/{reading.latency_p99:.0f} ms: {verdict}{disturbed} "
            f"[{time.monotonic() - began:.0f} s]"
        )
        return reading

    def _request_loads(self) -> list[RequestLoad]:
        return [
            self._request_load(name, script, pace, calls)
            for name, script in REQUESTS.items()
            for pace in PACES
            for calls in BESIDE
        ]

    def _request_load(
        self,
        name: str,
        scripts: Callable[[int, str], Callable[[], http_load.Script]],
        pace: float | None,
        calls: int,
    ) -> RequestLoad:
        with serving(TWO.server_type, self._cores) as server:
            script = scripts(server.port, server.token)

            def ask() -> http_load.Answers:
                return http_load.drive(server.port, script, pace=pace, seconds=SECONDS)

            if calls:
                with loading(TWO, server, calls, SECONDS, self._cores) as load:
                    found = RequestLoad(name, pace, ask(), load.finish())
            else:
                found = RequestLoad(name, pace, ask(), None)
        answers = found.answers
        quality = f", {found.calls.heard:.2%} of their frames heard" if found.calls else ""
        _tell(
            f"  {name}, {'flat out' if pace is None else f'{pace:g} a second'}: "
            f"{answers.rate:.0f} a second, {answers.p50:.1f}/{answers.p99:.1f} ms, "
            f"during {calls} calls{quality}"
        )
        return found

    def _histories(self) -> Iterator[HistoryCost]:
        kinds = {"SQLite": None} | ({"Postgres": self._postgres} if self._postgres else {})
        for kind, url in kinds.items():
            began = time.monotonic()
            found = history_load.measured(kind, url, self._history, self._cores)
            slowest = max(ms for _, ms in found.lists)
            _tell(
                f"  {kind} with {found.calls} calls: webhook p99 {found.webhook[0]:.1f} and "
                f"{found.webhook[1]:.1f} ms, upgrade {found.upgrade[0]:.1f} and "
                f"{found.upgrade[1]:.1f} ms, lists {slowest:.0f} ms at most "
                f"[{time.monotonic() - began:.0f} s]"
            )
            yield found

    def _workers(self, calls: int) -> WorkersCost:
        pairs: list[tuple[Reading, Reading]] = []
        for number in range(PAIRS):
            order = [TWO, Workload(TWO_WORKERS)]
            # Each is the first of its pair as often as the other, but for one pair.
            swapped = number % 2 == 1
            first, second = (
                self._trial(workload, calls, SECONDS)
                for workload in (reversed(order) if swapped else order)
            )
            pairs.append((second, first) if swapped else (first, second))
        found = WorkersCost(pairs)
        _tell(
            f"  {calls} calls: two workers take {found.ratio:.2f} times the CPU of one "
            f"({found.ratios[0]:.2f} to {found.ratios[-1]:.2f} in {PAIRS} pairs)"
        )
        return found

    def _churn(self, calls: int) -> ChurnCost:
        quiet = self._trial(TWO, calls, SECONDS)
        with (
            serving(TWO.server_type, self._cores) as server,
            loading(TWO, server, calls, SECONDS, self._cores) as load,
            churning(server.port, server.token) as churn,
        ):
            busy = load.finish()
        found = ChurnCost(quiet, busy, churn.begun, churn.failed, churn.p99)
        _tell(
            f"  {calls} long calls, {RATE} short calls a second: {found.ratio:.2f} times the CPU, "
            f"{busy.heard:.2%} of frames heard, p99 lateness {busy.lateness_p99:.1f} ms, "
            f"{churn.failed} of {churn.begun} short calls refused"
        )
        return found

    def _attack(self, attacker: Attacker | None) -> AttackCost:
        began = time.monotonic()
        with (
            serving(TWO.server_type, self._cores) as server,
            loading(TWO, server, QUIET_CALLS, SECONDS, self._cores) as load,
        ):
            if attacker is None:
                found = AttackCost("none", load.finish())
            else:
                with attacking(attacker, server.port, server.token) as attack:
                    reading = load.finish()
                rate = attack.sent / reading.seconds
                found = AttackCost(attacker.name, reading, rate, attack.closed)
        _tell(
            f"  attack: {found.peers}: p99 lateness {found.calls.lateness_p99:.1f} ms, "
            f"{found.calls.heard:.2%} of frames heard, {found.rate / 1000:.0f} KB a second, "
            f"disconnected {found.closed} times [{time.monotonic() - began:.0f} s]"
        )
        return found


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201 - progress
