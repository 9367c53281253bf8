"""The calls whose time is up: never connected, not come back, or too long."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

from service import away, endings
from service.handover import Handover
from service.media.engine import Engine
from service.model import Call, EndReason
from service.settings import Settings
from service.storage.calls import Calls
from service.times import Clock, Millis

logger = logging.getLogger(__name__)


class Deadlines:
    """Of the calls of one process. ``due`` is the ledger's; the rest is thread-safe."""

    def __init__(
        self, settings: Settings, clock: Clock, calls: Calls, engine: Engine, handover: Handover
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._calls = calls
        self._engine = engine
        self._handover = handover
        self._allowed = 1000 * away.seconds(settings.hold_seconds)
        self._began_at: Millis = 0
        self._held_at: dict[str, Millis] = {}

    def begin(self) -> None:
        """Count anew from now on for all calls, none of which has a socket any more."""
        self._began_at = self._clock.now()
        if orphans := self._calls.orphaned(self._began_at):
            logger.warning("%d calls have lost their sockets to a restart", orphans)

    def held(self, call_id: str) -> None:
        """The call's provider was told to ask again in a moment, and nothing of it is stored."""
        self._held_at[call_id] = self._clock.now()

    def due(self) -> Iterator[tuple[Call, EndReason, Callable[[Call], bool] | None]]:
        """The calls to end, why, and what must still be true of each then.

        None in a process that is ending: they belong to the next one already.
        """
        if self._handover.has_begun:
            return
        self._reclaim()
        now = self._clock.now()
        for call_id, at in list(self._held_at.items()):
            if at + self._allowed <= now:
                del self._held_at[call_id]
        for call in (*self._calls.unclaimed(now), *self._calls.lost(now - self._allowed)):
            if self._is_over(call):
                yield call, endings.unconnected(call), self._is_over
        for call in self._calls.overlong(now, self._settings.max_call_seconds):
            yield call, EndReason.MAX_DURATION, None

    def _is_over(self, call: Call) -> bool:
        """Whether a call has been without a socket for longer than it may be."""
        held_at = self._held_at.get(call.id)
        ends_at = away.ends_at(call, self._allowed, began_at=self._began_at, held_at=held_at)
        return ends_at is not None and ends_at <= self._clock.now()

    def _reclaim(self) -> None:
        """Take back the calls whose sockets are here, and which another process took for its own.

        It has the same database, and believed that this process was gone.
        """
        detached = self._calls.detached_legs()
        if not detached:
            return
        try:
            legs = self._engine.legs()
        except TimeoutError:
            logger.warning("the media engine does not say which calls it has")
            return
        for leg in legs:
            if detached.get(leg.call_id) == leg.leg_id:
                self._calls.reattached(leg.call_id, leg.leg_id)
