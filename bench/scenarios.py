"""The chapters of the benchmark: which trials are made, in which order, and with what progress."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence

from bench import history_load, http_load
from bench.attackers import PEERS, Peer, attacking
from bench.churn import RATE, churning
from bench.job import Reading
from bench.results import COSTS, Beside, Past, Results, Round, Series, Turnover
from bench.search import bounded, confirmed, faults, largest, spoilers
from bench.servers import SUBJECTS, serving
from bench.trial import Cores, Kind, loading, trial

CEILING = 2400
"""Calls beyond which nothing is tried: the load generator's own limit is near."""

SECONDS = 5
"""For which calls are looked at to tell what they cost."""

LONG = 20
"""Seconds for which the most calls must go well."""

GROWTH_CALLS = 200
GROWTH_ROOMS = (2, 10, 50)

QUIET_CALLS = 50
"""Calls beside bad peers: few enough that what those cost can be told from what the calls do."""

HELD = (200, 500)
"""Calls that are held while others come and go."""

BESIDE = (0, 200)
"""Calls beside the requests."""

PACES = (25.0, None)
"""Requests a second; ``None`` is as fast as the answers come."""

REQUESTS = {"webhook": http_load.webhooks, "connectors": http_load.connectors}

HISTORY = 100_000
"""Calls of the past, filled in within seconds. The figures in docs/benchmark.md have a million."""

TWO = Kind()
TEN = Kind(room_size=10)
DIALECTS = Kind(room_size=4, dialects=("twilio", "plivo", "telnyx", "websocket"))

CHAPTERS = {
    "two": 250,
    "ten": 130,
    "dialects": 170,
    "alternatives": 350,
    "growth": 45,
    "churn": 80,
    "requests": 90,
    "peers": 140,
    "history": 60,
}
"""What there is, and about how many seconds each takes where the search is not fine."""


class Bench:
    """``cores`` are the server's and the load generator's."""

    def __init__(
        self, cores: Cores, *, fine: bool, history: int = HISTORY, postgres: str | None = None
    ) -> None:
        """``history`` is how many calls there were, ``postgres`` the URL of one."""
        self._cores = cores
        self._history = history
        self._postgres = postgres
        # A finer search than by a tenth would find what the machine does at the time.
        self._probe, self._precision, self._duration = (5, 1.1, 1.5) if fine else (3, 1.25, 1.0)

    def run(self, machine: str, chapters: Sequence[str]) -> Results:
        series: list[Series] = []
        growth: list[Reading] = []
        rounds: list[Round] = []
        beside: list[Beside] = []
        pasts: list[Past] = []
        turnovers: list[Turnover] = []
        chosen = [name for name in CHAPTERS if name in chapters]
        for place, name in enumerate(chosen):
            left = self._duration * sum(CHAPTERS[chapter] for chapter in chosen[place:])
            _tell(f"[{place + 1}/{len(chosen)}] {name}; about {left / 60:.0f} min left")
            match name:
                case "two":
                    series.append(self._series(TWO))
                case "ten":
                    series.append(self._series(TEN, like=series))
                case "dialects":
                    series.append(self._series(DIALECTS, like=series))
                case "alternatives":
                    others = (Kind(one) for one in SUBJECTS if one is not TWO.subject)
                    series += [self._series(kind) for kind in others if not kind.subject.missing()]
                case "growth":
                    growth += [
                        self._trial(Kind(room_size=size), GROWTH_CALLS, SECONDS)
                        for size in GROWTH_ROOMS
                    ]
                case "churn":
                    turnovers += [self._turnover(calls) for calls in HELD]
                case "requests":
                    rounds += self._rounds()
                case "peers":
                    beside += [self._beside(peer) for peer in (None, *PEERS)]
                case "history":
                    pasts += self._pasts()
        left_out = [f"{one.name}, since {one.missing()}" for one in SUBJECTS if one.missing()]
        if "history" in chosen and self._postgres is None:
            left_out.append("history on Postgres, since --postgres names none")
        return Results(machine, series, growth, rounds, beside, left_out, pasts, turnovers)

    def _series(self, kind: Kind, like: Sequence[Series] = ()) -> Series:
        """The most calls, by search and a long run, and the cost at some numbers of them.

        Where there is a series of a similar kind, the search begins with what was found there.
        """
        readings: list[Reading] = []

        def run(calls: int, seconds: int) -> Reading:
            reading = self._trial(kind, calls, seconds)
            readings.append(reading)
            if faults(reading) and spoilers(reading):
                # Perhaps by something that has passed.
                reading = self._trial(kind, calls, seconds)
                readings.append(reading)
            return reading

        similar = like[0].limit if like else None
        if similar is not None:
            guess = similar.calls
        else:
            for calls in COSTS:
                if faults(run(calls, SECONDS)):
                    break
            # Nine tenths of the core, if a call goes on costing what it costs.
            fine = [one for one in readings if not faults(one)] or readings
            guess = int(0.9 * fine[-1].calls / max(fine[-1].server_cpu, 0.01))
        most = largest(
            lambda calls: not faults(run(calls, self._probe)),
            guess,
            unit=kind.room_size,
            ceiling=CEILING,
            precision=self._precision,
        )
        limit = confirmed(lambda calls: run(calls, LONG), most, unit=kind.room_size)
        return Series(kind.subject.name, str(kind), readings, limit, bounded(readings, limit))

    def _trial(self, kind: Kind, calls: int, seconds: int) -> Reading:
        began = time.monotonic()
        reading = trial(kind, calls, seconds, self._cores)
        verdict = ", ".join(faults(reading)) or "good"
        spoilt = f" (spoiled: {', '.join(spoilers(reading))})" if spoilers(reading) else ""
        _tell(
            f"  {kind.subject.name}, {kind}: {calls} calls, {reading.server_cpu:.0%} CPU, "
            f"{reading.latency_p50:.0f}/{reading.latency_p99:.0f} ms: {verdict}{spoilt} "
            f"[{time.monotonic() - began:.0f} s]"
        )
        return reading

    def _rounds(self) -> list[Round]:
        return [
            self._round(name, script, pace, calls)
            for name, script in REQUESTS.items()
            for pace in PACES
            for calls in BESIDE
        ]

    def _round(
        self,
        name: str,
        scripts: Callable[[int, str], Callable[[], http_load.Script]],
        pace: float | None,
        calls: int,
    ) -> Round:
        with serving(TWO.subject, self._cores) as server:
            script = scripts(server.port, server.token)

            def ask() -> http_load.Answers:
                return http_load.drive(server.port, script, pace=pace, seconds=SECONDS)

            if calls:
                with loading(TWO, server, calls, SECONDS, self._cores) as load:
                    found = Round(name, pace, ask(), load.finish())
            else:
                found = Round(name, pace, ask(), None)
        answers = found.answers
        felt = f", of whose frames {found.calls.heard:.2%} are heard" if found.calls else ""
        _tell(
            f"  {name}, {'flat out' if pace is None else f'{pace:g} a second'}: "
            f"{answers.rate:.0f} a second, {answers.p50:.1f}/{answers.p99:.1f} ms, "
            f"beside {calls} calls{felt}"
        )
        return found

    def _pasts(self) -> Iterator[Past]:
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

    def _turnover(self, calls: int) -> Turnover:
        quiet = self._trial(TWO, calls, SECONDS)
        with (
            serving(TWO.subject, self._cores) as server,
            loading(TWO, server, calls, SECONDS, self._cores) as load,
            churning(server.port, server.token) as churn,
        ):
            busy = load.finish()
        found = Turnover(quiet, busy, churn.begun, churn.failed, churn.p99)
        _tell(
            f"  {calls} calls held, {RATE} a second come and go: {found.ratio:.2f} times the CPU, "
            f"{busy.heard:.2%} of frames heard, p99 lateness {busy.lateness_p99:.1f} ms, "
            f"{churn.failed} of {churn.begun} refused"
        )
        return found

    def _beside(self, peer: Peer | None) -> Beside:
        began = time.monotonic()
        with (
            serving(TWO.subject, self._cores) as server,
            loading(TWO, server, QUIET_CALLS, SECONDS, self._cores) as load,
        ):
            if peer is None:
                found = Beside("none", load.finish())
            else:
                with attacking(peer, server.port, server.token) as attack:
                    reading = load.finish()
                rate = attack.sent / reading.seconds
                found = Beside(peer.name, reading, rate, attack.closed)
        _tell(
            f"  beside {found.peers}: p99 lateness {found.calls.lateness_p99:.1f} ms, "
            f"{found.calls.heard:.2%} of frames heard, {found.rate / 1000:.0f} KB a second, "
            f"put out {found.closed} times [{time.monotonic() - began:.0f} s]"
        )
        return found


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201 - progress
