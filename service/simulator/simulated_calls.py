"""Simulated calls: the phone simulator calls connectors of this server.

The settings and the console call them test calls. They are in the memory of this process only.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import dataclass
from time import time

from service.domain import ids
from service.errors import Conflict, NotFound
from service.simulator.audio.codec import RATE
from service.simulator.phone import Phone
from service.simulator.report import CallReport
from service.simulator.scenario import Scenario
from service.simulator.timeline import Event

KEPT = 20
"""Ended test calls that are kept."""

STOP_SECONDS = 4.0

OFF = "Test calls are off: set TEST_CALLS to how many may be up at a time."


@dataclass(frozen=True, slots=True)
class SimulatedCall:
    """A snapshot: ``seconds`` of ``planned`` were streamed. An ended call has a ``report``.

    ``placed_at`` is in seconds since the epoch.
    """

    id: str
    placed_at: float
    connector_id: str
    provider_call_id: str
    seconds: float
    planned: float | None
    ladder: tuple[Event, ...]
    report: CallReport | None


@dataclass(frozen=True, slots=True)
class _Placed:
    id: str
    placed_at: float
    connector_id: str
    phone: Phone

    def snapshot(self) -> SimulatedCall:
        # Read first, so that the snapshot of an ended call is complete.
        is_over = self.phone.is_over
        planned = self.phone.planned
        return SimulatedCall(
            id=self.id,
            placed_at=self.placed_at,
            connector_id=self.connector_id,
            provider_call_id=self.phone.call_id,
            seconds=self.phone.streamed / RATE,
            planned=None if planned is None else planned / RATE,
            ladder=self.phone.events,
            report=self.phone.report if is_over else None,
        )


class SimulatedCalls:
    """At most ``limit`` test calls at a time. Thread-safe."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._lock = threading.Lock()
        self._up: dict[str, _Placed] = {}
        self._over: dict[str, SimulatedCall] = {}
        self._has_stopped = False

    def require_on(self) -> None:
        """Raise ``Conflict`` if test calls are off."""
        if not self.limit:
            raise Conflict(OFF)

    def place(self, connector_id: str, scenario: Scenario, elsewhere: int = 0) -> SimulatedCall:
        """Place a call. Raises ``Conflict`` if test calls are off or the limit is reached.

        ``elsewhere`` is the number of calls in progress on other nodes.
        """
        self.require_on()
        with self._lock:
            self._sweep()
            if self._has_stopped:
                raise Conflict("This server is ending; place the call once it is back.")
            if len(self._up) + elsewhere >= self.limit:
                raise Conflict(
                    f"{self.limit} test calls are up, and no more may be: hang one up first."
                )
            placed = _Placed(ids.new_simulated_call_id(), time(), connector_id, Phone(scenario))
            self._up[placed.id] = placed
            placed.phone.start()
            return placed.snapshot()

    def all(self) -> tuple[SimulatedCall, ...]:
        """Return the calls in progress and the latest ended calls, newest first."""
        with self._lock:
            self._sweep()
            known = [*self._over.values(), *(each.snapshot() for each in self._up.values())]
        return tuple(reversed(known))

    def get(self, simulated_call_id: str) -> SimulatedCall:
        """Return a call. Raises ``NotFound`` if it does not exist or is no longer kept."""
        with self._lock:
            self._sweep()
            return self._over.get(simulated_call_id) or self._placed(simulated_call_id).snapshot()

    def hang_up(self, simulated_call_id: str) -> SimulatedCall:
        """Hang up as the caller. Has no effect on an ended call. Raises ``NotFound``."""
        with self._lock:
            if simulated_call_id not in self._over:
                self._placed(simulated_call_id).phone.hang_up()
        return self.get(simulated_call_id)

    def stop(self) -> None:
        """Accept no more calls, hang up every call, and wait briefly for them to end."""
        with self._lock:
            self._has_stopped = True
            phones = [each.phone for each in self._up.values()]
        for phone in phones:
            phone.hang_up()
        with suppress(TimeoutError):
            for phone in phones:
                phone.join(STOP_SECONDS)

    def _placed(self, simulated_call_id: str) -> _Placed:
        if simulated_call_id not in self._up:
            raise NotFound("Test call not found.")
        return self._up[simulated_call_id]

    def _sweep(self) -> None:
        """Replace ended phones by snapshots, and drop the oldest snapshots.

        A phone holds all the audio that it received, and its report takes long to compute.
        """
        for each in [each for each in self._up.values() if each.phone.is_over]:
            del self._up[each.id]
            self._over[each.id] = each.snapshot()
        for simulated_call_id in list(self._over)[:-KEPT]:
            del self._over[simulated_call_id]
