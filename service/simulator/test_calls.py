"""Test calls: the phone simulator calls a connector of this very server, a few times at once.

A trial is one such call. What is kept of it lives in this process only.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import dataclass

from service.domain import ids
from service.errors import Conflict, NotFound
from service.simulator.audio.codec import RATE
from service.simulator.phone import Phone
from service.simulator.report import Report
from service.simulator.scenario import Scenario
from service.simulator.timeline import Event

KEPT = 20
"""Test calls that are over and can still be asked for."""

STOP_SECONDS = 4.0

OFF = "Test calls are off: set TEST_CALLS to how many may be up at a time."


@dataclass(frozen=True, slots=True)
class TestCall:
    """``seconds`` have been streamed of ``planned``. ``report`` is there once the call is over."""

    id: str
    connector_id: str
    provider_call_id: str
    seconds: float
    planned: float | None
    ladder: tuple[Event, ...]
    report: Report | None


@dataclass(frozen=True, slots=True)
class _Placed:
    id: str
    connector_id: str
    phone: Phone

    def look(self) -> TestCall:
        # Asked first, so that nothing that happens meanwhile is missing where it is over.
        is_over = self.phone.is_over
        planned = self.phone.planned
        return TestCall(
            id=self.id,
            connector_id=self.connector_id,
            provider_call_id=self.phone.call_id,
            seconds=self.phone.streamed / RATE,
            planned=None if planned is None else planned / RATE,
            ladder=self.phone.events,
            report=self.phone.report if is_over else None,
        )


class TestCalls:
    """At most ``limit`` test calls at a time. Thread-safe."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._lock = threading.Lock()
        self._up: dict[str, _Placed] = {}
        self._over: dict[str, TestCall] = {}
        self._has_stopped = False

    def require_on(self) -> None:
        """Raise ``Conflict`` where test calls are off."""
        if not self.limit:
            raise Conflict(OFF)

    def place(self, connector_id: str, plan: Scenario) -> TestCall:
        """Call. Raises ``Conflict`` where test calls are off, or as many are up as may be."""
        self.require_on()
        with self._lock:
            self._sweep()
            if self._has_stopped:
                raise Conflict("This server is ending; place the call once it is back.")
            if len(self._up) >= self.limit:
                raise Conflict(
                    f"{self.limit} test calls are up, and no more may be: hang one up first."
                )
            placed = _Placed(ids.new_trial_id(), connector_id, Phone(plan))
            self._up[placed.id] = placed
            placed.phone.start()
            return placed.look()

    def all(self) -> tuple[TestCall, ...]:
        """Those that are up and the last that are over, newest first."""
        with self._lock:
            self._sweep()
            known = [*self._over.values(), *(each.look() for each in self._up.values())]
        return tuple(reversed(known))

    def get(self, trial_id: str) -> TestCall:
        """Raises ``NotFound``, also where it has been over for long."""
        with self._lock:
            self._sweep()
            return self._over.get(trial_id) or self._placed(trial_id).look()

    def hang_up(self, trial_id: str) -> TestCall:
        """Hang up as the caller does; of no effect where the call is over. Raises ``NotFound``."""
        with self._lock:
            if trial_id not in self._over:
                self._placed(trial_id).phone.hang_up()
        return self.get(trial_id)

    def stop(self) -> None:
        """Hang up all of them and wait until they are over, for a moment; place no more."""
        with self._lock:
            self._has_stopped = True
            phones = [each.phone for each in self._up.values()]
        for phone in phones:
            phone.hang_up()
        with suppress(TimeoutError):
            for phone in phones:
                phone.join(STOP_SECONDS)

    def _placed(self, trial_id: str) -> _Placed:
        if trial_id not in self._up:
            raise NotFound("Test call not found.")
        return self._up[trial_id]

    def _sweep(self) -> None:
        """Keep of those that are over what they showed, and forget the oldest.

        A phone holds all that it has heard, and its report takes long to make.
        """
        for each in [each for each in self._up.values() if each.phone.is_over]:
            del self._up[each.id]
            self._over[each.id] = each.look()
        for trial_id in list(self._over)[:-KEPT]:
            del self._over[trial_id]
