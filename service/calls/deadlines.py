"""Deadlines of calls: to connect, to come back, and to end."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from service.calls import end_reasons
from service.calls.handover import Drain
from service.clock import Clock, Millis
from service.domain import reconnection
from service.domain.calls import Call, EndReason
from service.errors import Busy, Contended
from service.media.engine.engine import Engine
from service.settings import Settings
from service.storage.calls.calls import Calls
from service.telemetry.logs import about

logger = logging.getLogger(__name__)

MOST_LOCKED = 5
"""Locked calls that one sweep waits for; the rest is left to the next sweep."""


class Sparing:
    """A sweep that goes on where one call cannot be ended."""

    def __init__(self) -> None:
        self._locks = 0

    @contextmanager
    def of(self, call_id: str) -> Iterator[None]:
        """End one call in here.

        Raises ``Busy`` where the others could not be ended either: the database is away, or so
        many are locked that a whole table may be.
        """
        try:
            yield
        except Contended as error:
            self._locks += 1
            logger.warning("a call is not ended yet: %s", error.message, extra=about(call_id))
            if self._locks == MOST_LOCKED:
                raise
        except Busy:
            raise
        except Exception:
            logger.exception("a call could not be ended", extra=about(call_id))


class Deadlines:
    """The deadlines of this process's calls. ``due`` runs in the ledger's thread; the rest is
    thread-safe.
    """

    def __init__(
        self, settings: Settings, clock: Clock, calls: Calls, engine: Engine, handover: Drain
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._calls = calls
        self._engine = engine
        self._handover = handover
        self._allowed = 1000 * reconnection.seconds(settings.hold_seconds)
        self._began_at: Millis = 0
        self._held_at: dict[str, Millis] = {}

    def begin(self) -> None:
        """Restart the time of all calls. None of them has a socket any more."""
        self._began_at = self._clock.now()
        if orphans := self._calls.orphaned(self._began_at):
            logger.warning("%d calls have lost their sockets to a restart", orphans)

    def held(self, call_id: str) -> None:
        """Note that the call's provider was told to hold. This is not stored."""
        self._held_at[call_id] = self._clock.now()

    def due(self) -> Iterator[tuple[Call, EndReason, Callable[[Call], bool] | None]]:
        """The calls to end, why, and what must still be true of each then.

        None in a process that is ending: they belong to the next one already.
        """
        if self._handover.has_begun:
            return
        self._compare()
        now = self._clock.now()
        for call_id, at in list(self._held_at.items()):
            if at + self._allowed <= now:
                del self._held_at[call_id]
        for call in (*self._calls.unclaimed(now), *self._calls.lost(now - self._allowed)):
            if self._is_over(call):
                yield call, end_reasons.unconnected(call), self._is_over
        for call in self._calls.overlong(now, self._settings.max_call_seconds):
            yield call, EndReason.MAX_DURATION, None

    def _is_over(self, call: Call) -> bool:
        """Whether a call has been without a socket for longer than it may be."""
        held_at = self._held_at.get(call.id)
        ends_at = reconnection.ends_at(
            call, self._allowed, began_at=self._began_at, held_at=held_at
        )
        return ends_at is not None and ends_at <= self._clock.now()

    def _compare(self) -> None:
        """Compare this process's sockets with the calls in the database. They differ where another
        process has changed the database, or where the answer to a commit was lost.

        A call that is over is hung up. A call that another process marked as detached is
        reattached.
        """
        try:
            legs = {leg.leg_id: leg.call_id for leg in self._engine.legs()}
        except TimeoutError:
            logger.warning("the media engine does not say which calls it has")
            return
        if not legs:
            return
        for call_id, reason in self._calls.over(set(legs.values())).items():
            logger.warning("a call that is over still had a socket", extra=about(call_id))
            self._engine.hang_up(call_id, reason, end_reasons.farewell(reason))
        for call_id, leg_id in self._calls.detached_legs().items():
            if leg_id is not None and legs.get(leg_id) == call_id:
                self._calls.reattached(call_id, leg_id)
