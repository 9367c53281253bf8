"""The end of a call: written to storage first, then passed on to its socket.

The request to its provider is written with it.

A provider that asks about an ended call is told to hang up, also after a restart.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from service.calls.serving_state import ServingState
from service.calls.waiting import Waiters
from service.clock import Clock
from service.domain.call_transitions import TABLE, Actor
from service.domain.calls import WEBSOCKET, Call, Direction, EndReason
from service.media.engine.media import Media
from service.storage.calls.calls import Calls
from service.storage.database import Database
from service.telemetry.logs import about
from service.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)

REPORTED_BY_PROVIDER = frozenset(
    reason for reason in EndReason if Actor.PROVIDER in TABLE[reason].by
)
"""End reasons that the provider reported itself, so it is not asked to hang up."""

FAREWELLS = {
    EndReason.SESSION_ENDED: "Meeting Ended.",
    EndReason.SESSION_TIMEOUT: "Meeting Ended.",
    EndReason.REMOVED: "Participant removed from the meeting",
}
"""Close texts of a custom WebSocket, as VideoSDK's room SDKs have them."""


class CallEnding:
    """Thread-safe."""

    def __init__(
        self,
        clock: Clock,
        database: Database,
        calls: Calls,
        media: Media,
        metrics: Metrics,
        waiters: Waiters,
        serving: ServingState,
    ) -> None:
        self._clock = clock
        self._database = database
        self._calls = calls
        self._media = media
        self._metrics = metrics
        self._waiters = waiters
        self._serving = serving

    def end(self, call_id: str) -> Call:
        """End a call from the API. Close the socket of one that has ended. Raises ``NotFound``."""
        self.hang_up(self._calls.get(call_id), EndReason.ENDED_BY_API, None)
        call = self._calls.get(call_id)
        if reason := call.end_reason:
            self._media.hang_up(call.id, reason, farewell(reason))
        return call

    def hang_up(
        self,
        call: Call,
        reason: EndReason,
        detail: str | None,
        provided: Callable[[Call], bool] | None = None,
    ) -> None:
        """End a call in storage, and after the commit at the engine and the provider.

        ``provided`` is checked on the stored call: where it returns false the call goes on.
        """
        at = self._clock.now()
        ended = self._calls.end(
            call.id,
            reason,
            at,
            detail=detail,
            provided=provided,
            asks_provider=reason not in REPORTED_BY_PROVIDER,
        )
        if ended is not None:
            self._database.afterwards(self._pass_on, ended, reason)

    def note(self, call: Call, reason: EndReason) -> None:
        """Count an ended call, and wake the threads that wait for its end."""
        self._metrics.call_ended(call.provider, reason)
        self._waiters.wake(call.id)
        self._serving.expect_no_more(call.id)

    def _pass_on(self, call: Call, reason: EndReason) -> None:
        logger.info("a call is over: %s", reason, extra=about(call.id, call.room_id))
        self._media.hang_up(call.id, reason, farewell(reason))
        self.note(call, reason)


def unconnected(call: Call) -> EndReason:
    """Return the end reason of a call whose time without a socket is up."""
    if not call.status.is_waiting:
        return EndReason.CONNECTION_LOST
    if call.awaits_pin:
        return EndReason.NO_PIN
    if call.direction is Direction.OUTBOUND and not call.attempts:
        return EndReason.RING_TIMEOUT
    return EndReason.NO_SOCKET


def may_come_back(call: Call, reason: EndReason | None) -> bool:
    """Return whether a call may go on without its leg. A custom WebSocket may not."""
    # A stop message during a transfer means that the stream has ended, and not the call.
    is_lost = reason is None or (reason is EndReason.CALLER_HUNG_UP and call.is_transferring)
    return is_lost and call.provider != WEBSOCKET


def farewell(reason: EndReason) -> str:
    """Return the close text of a socket that is closed for this reason."""
    return FAREWELLS.get(reason, "The meeting has been closed")
